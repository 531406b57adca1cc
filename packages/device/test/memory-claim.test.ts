// Memory that one process has claimed, but not filled yet, is not granted to another process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, utimesSync } from 'node:fs';
import { freemem } from 'node:os';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { afterAll, beforeAll, expect, it } from 'vitest';

const GIB = 2 ** 30;
let device: HostDevice;
beforeAll(async () => {
  device = await createHostDevice();
});
afterAll(() => device.close());

const claims = (pid: number): string[] =>
  readdirSync('/dev/shm').filter((name) => name.includes(`claim-`) && name.includes(`-${pid}-`));
/** More than half of the available memory, so two of them do not fit. The test never touches this memory. */
const large = (): number => Math.max(GIB, Math.floor(freemem() * 0.6));
/** Another suite may have a claim for a moment. */
async function eventually<T>(allocate: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await allocate();
    } catch (error) {
      if ((error as { code?: string }).code !== 'CE_HOST_OUT_OF_MEMORY') throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

it('lasts as long as the process with the claim, even if that is killed', async () => {
  const source = `
    import { createHostDevice } from '@checkpoint-engine/device';
    const device = await createHostDevice({ index: 1 });
    for (;;) {
      try { globalThis.memory = await device.allocateHost(${large()}); break; } catch { await new Promise((r) => setTimeout(r, 100)); }
    }
    process.send('held');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    cwd: new URL('..', import.meta.url).pathname,
  });
  try {
    await once(child, 'message');
    expect(claims(child.pid!)).toHaveLength(1);
    const refused = {
      code: 'CE_HOST_OUT_OF_MEMORY',
      message: expect.stringMatching(/other processes are about to use/),
    };
    await expect(device.allocateHost(large())).rejects.toMatchObject(refused);
    // The wall clock may have been set since then.
    utimesSync(`/dev/shm/${claims(child.pid!)[0]}`, 0, 0);
    await expect(device.allocateHost(large())).rejects.toMatchObject(refused);
    // A small allocation still fits.
    (await device.allocateHost(2 ** 20)).close();
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const memory = await eventually(() => device.allocateHost(large()));
  memory.close();
  expect(claims(child.pid!)).toEqual([]);
});

it('ends when the memory is filled, and when it is closed', async () => {
  const sizeBytes = 64 * 2 ** 20;
  const filled = await eventually(() => device.allocateHost(sizeBytes));
  expect(claims(process.pid)).toHaveLength(1);
  await filled.write(0, new Uint8Array(sizeBytes));
  expect(claims(process.pid)).toEqual([]);
  const closed = await eventually(() => device.allocateHost(sizeBytes));
  closed.close();
  await expect.poll(() => claims(process.pid)).toEqual([]);
  filled.close();
});
