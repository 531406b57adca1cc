import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice, sweepShared } from '@checkpoint-engine/device';
import { isSharedMemory } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { Script } from './support.ts';

let folder: string;
let device: HostDevice;
beforeEach(async () => {
  folder = mkdtempSync('/dev/shm/ce-test-');
  device = await createHostDevice({ directory: folder });
});
afterEach(async () => {
  await device.close();
  rmSync(folder, { recursive: true });
});

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const own = `${process.geteuid!()}`;
const startTime = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[19]!;
const segment = (name: string): string => {
  writeFileSync(join(folder, name), 'x');
  chmodSync(join(folder, name), 0o600);
  return name;
};

const maker = (then: string): string => `
  import { createHostDevice } from '@checkpoint-engine/device';
  const device = await createHostDevice({ directory: ${JSON.stringify(folder)} });
  const memory = await device.allocateShared(1 << 20);
  memory.view(0, 3).set([1, 2, 3]);
  console.log(new TextDecoder().decode(memory.handle));
  ${then}`;

describe('shared host memory', () => {
  it('is a private file named after its creator, with all of its space reserved', async () => {
    using memory = await device.allocateShared(3 << 20);
    const name = decode(memory.handle);
    expect(name).toMatch(
      new RegExp(`^checkpoint-engine-${own}-${process.pid}-${startTime(process.pid)}-[0-9a-f]{16}$`),
    );
    const file = statSync(join(folder, name));
    expect(file.mode & 0o7777).toBe(0o600);
    expect(file.size).toBe(3 << 20);
    expect(file.blocks * 512).toBe(3 << 20);
    expect(isSharedMemory(memory)).toBe(true);
  });

  it('is visible to another process, in both directions', async () => {
    const script = new Script(maker('setInterval(() => memory.view(3, 1)[0] === 4 && process.exit(5), 5);'));
    using memory = await device.openShared(encode(await script.line()), 1 << 20);
    expect([...memory.view(0, 4)]).toEqual([1, 2, 3, 0]);
    memory.view(3, 1)[0] = 4;
    expect((await script.end()).code).toBe(5);
    expect([...memory.view(0, 4)]).toEqual([1, 2, 3, 4]);
  });

  it('is also shared by pools', async () => {
    using pool = await device.allocateHost(1 << 20, { shared: true });
    using opened = await device.openShared(pool.handle, 1 << 20);
    await pool.write(0, Uint8Array.of(5));
    expect(opened.view(0, 1)[0]).toBe(5);
    expect(isSharedMemory(opened) && opened.handle).toEqual(pool.handle); // it can be passed on
  });

  it('loses its name when it is closed, and stays valid while others have it open', async () => {
    const memory = await device.allocateShared(1 << 20);
    using opened = await device.openShared(memory.handle, 1 << 20);
    memory.view(0, 1)[0] = 1;
    memory.close();
    expect(readdirSync(folder)).toEqual([]);
    expect(opened.view(0, 1)[0]).toBe(1);
  });

  it.each([
    ['a natural end', ''],
    ['process.exit', 'process.exit(0);'],
    ['an exception', 'setTimeout(() => { throw new Error("expected"); });'],
    ['closing the device', 'await device.close();'],
  ])('leaves nothing after %s', async (_, then) => {
    const script = new Script(maker(then));
    expect(await script.line()).toMatch(/^checkpoint-engine-/);
    await script.end();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('openShared', () => {
  const refused = (reason: RegExp) => ({ code: 'CE_SHM_FAILED', message: expect.stringMatching(reason) });

  it('refuses a handle that is not the name of a segment', async () => {
    for (const handle of ['', '../x', '/etc/passwd', 'checkpoint-engine-1-2-3', 'checkpoint-engine-0-1-2-00/../x']) {
      await expect(device.openShared(encode(handle), 1)).rejects.toMatchObject(refused(/not the name of a segment/));
    }
  });

  it('refuses links, other modes, other kinds of files, and segments that are too small or gone', async () => {
    using memory = await device.allocateShared(4096);
    await expect(device.openShared(memory.handle, 4097)).rejects.toMatchObject(refused(/has 4096 bytes, not 4097/));
    const name = (end: string) => `checkpoint-engine-${own}-1-1-${end.padStart(16, '0')}`;
    symlinkSync(decode(memory.handle), join(folder, name('1')));
    await expect(device.openShared(encode(name('1')), 1)).rejects.toMatchObject({ code: 'CE_SHM_FAILED', op: 'open' });
    chmodSync(join(folder, segment(name('2'))), 0o644);
    await expect(device.openShared(encode(name('2')), 1)).rejects.toMatchObject(refused(/mode/));
    mkdirSync(join(folder, name('3')));
    await expect(device.openShared(encode(name('3')), 1)).rejects.toMatchObject({ code: 'CE_SHM_FAILED' });
    execFileSync('mkfifo', ['-m', '600', join(folder, name('4'))]);
    await expect(device.openShared(encode(name('4')), 1)).rejects.toMatchObject(refused(/regular/));
    await expect(device.openShared(encode(name('5')), 1)).rejects.toMatchObject(refused(/No such file/));
  });

  if (own !== '0') console.warn('skipped: segments of other users: only root can give a segment to another user');

  it.skipIf(own !== '0')('refuses segments of other users (as root)', async () => {
    const name = segment(`checkpoint-engine-${own}-1-1-0000000000000001`);
    execFileSync('chown', ['65534', join(folder, name)]);
    await expect(device.openShared(encode(name), 1)).rejects.toMatchObject(refused(/user 65534/));
  });
});

describe('sweepShared', () => {
  it('removes what a killed process left behind, at the latest when the next device is created', async () => {
    const left: string[] = [];
    for (let i = 0; i < 2; i++) {
      const script = new Script(maker('setInterval(() => {}, 1000);'));
      left.push(await script.line());
      script.child.kill('SIGKILL');
      await script.end();
      expect(readdirSync(folder)).toEqual([left[i]]);
      if (i === 0) expect(await sweepShared(folder)).toEqual([left[i]]);
    }
    await using _next = await createHostDevice({ directory: folder });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves segments of running processes and files of others alone', async () => {
    using memory = await device.allocateShared(4096);
    const script = new Script(maker('setInterval(() => {}, 1000);'));
    const names = [
      decode(memory.handle),
      await script.line(),
      segment('other-0-1-1-0'),
      segment('checkpoint-engine-x'),
    ];
    expect(await sweepShared(folder)).toEqual([]);
    expect(readdirSync(folder).sort()).toEqual(names.sort());
    script.child.kill('SIGKILL');
    await script.end();
  });

  it('recognizes that a process id now belongs to another process', async () => {
    const name = segment(`checkpoint-engine-${own}-${process.pid}-1-0000000000000001`);
    expect(await sweepShared(folder)).toEqual([name]);
  });

  it('does not remove segments whose creator is not visible to this process', async () => {
    const name = segment(`checkpoint-engine-${own}-4194303-1-0000000000000001`);
    const holder = spawn('flock', ['--no-fork', '--shared', join(folder, name), 'sh', '-c', 'echo; exec sleep 60']);
    await once(holder.stdout, 'data');
    expect(await sweepShared(folder)).toEqual([]);
    holder.kill();
    await once(holder, 'exit');
    expect(await sweepShared(folder)).toEqual([name]);
  });
});

/** Runs a test on a separate tmpfs of 8 MiB; skips it, with the reason, if none can be mounted. */
async function onSmallTmpfs(context: TestContext, run: (directory: string) => Promise<void>): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'ce-small-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    rmSync(path, { recursive: true });
    console.warn(`skipped: a small tmpfs: mounting it needs root: ${error}`);
    context.skip();
  }
  try {
    await run(path);
  } finally {
    execFileSync('umount', [path]);
    rmSync(path, { recursive: true });
  }
}

describe('shared memory that is too small', () => {
  it('is refused with both sizes, and leaves nothing behind', async (context) => {
    await onSmallTmpfs(context, async (small) => {
      await using host = await createHostDevice({ directory: small });
      expect(host.memoryInfo()).toEqual({ freeBytes: 8 << 20, totalBytes: 8 << 20 });
      using first = await host.allocateShared(6 << 20);
      const second = host.allocateShared(4 << 20);
      await expect(second).rejects.toMatchObject({ code: 'CE_SHM_TOO_SMALL' });
      await expect(second).rejects.toThrow(new RegExp(`${4 << 20} bytes.*${2 << 20} bytes`));
      expect(readdirSync(small)).toEqual([decode(first.handle)]);
      first.view(0, 6 << 20).fill(1);
      first.close();
      await expect.poll(() => host.memoryInfo().freeBytes).toBe(8 << 20);
      // If two requests at the same time do not fit together, at least one of them fails during its reservation.
      const both = await Promise.allSettled([host.allocateShared(5 << 20), host.allocateShared(5 << 20)]);
      const refused = both.filter((one) => one.status === 'rejected');
      expect(refused.length).toBeGreaterThan(0);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'CE_SHM_TOO_SMALL' });
      expect(readdirSync(small).length).toBe(2 - refused.length);
    });
  });
});

describe('shared memory that is closed', () => {
  it('makes room for the next request', async (context) => {
    await onSmallTmpfs(context, async (small) => {
      await using host = await createHostDevice({ directory: small });
      for (let round = 0; round < 20; round++) {
        using memory = await host.allocateShared(8 << 20);
        memory.view(0, 8 << 20).fill(1);
      }
    });
  });
});

describe('shared memory that is discarded', () => {
  it('makes room although it is open elsewhere, and reads as zeros there', async (context) => {
    await onSmallTmpfs(context, async (small) => {
      await using host = await createHostDevice({ directory: small });
      await using other = await createHostDevice({ directory: small });
      const memory = await host.allocateShared(6 << 20);
      memory.view(0, 6 << 20).fill(7);
      const opened = await other.openShared(memory.handle, 6 << 20);
      expect(opened.view((6 << 20) - 1, 1)[0]).toBe(7);
      memory.discard!();
      using next = await host.allocateShared(6 << 20);
      expect(next.view(0, 1)[0]).toBe(0);
      expect([opened.view(0, 1)[0], opened.view((6 << 20) - 1, 1)[0]]).toEqual([0, 0]);
    });
  });
});

describe('mapFile', () => {
  it('maps a file in place, which may then be unlinked', async () => {
    const path = join(folder, 'weights');
    writeFileSync(path, Uint8Array.of(1, 2, 3));
    using memory = await device.mapFile(path);
    rmSync(path);
    expect(memory.sizeBytes).toBe(3);
    expect([...memory.view(0, 3)]).toEqual([1, 2, 3]);
  });

  it('never changes the file', async () => {
    const path = join(folder, 'weights');
    writeFileSync(path, Uint8Array.of(1, 2, 3));
    using memory = await device.mapFile(path);
    memory.view(0, 1)[0] = 9;
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  });

  it('refuses a missing or empty file, and a directory', async () => {
    const path = join(folder, 'weights');
    await expect(device.mapFile(path)).rejects.toMatchObject({ code: 'CE_FILE_NOT_FOUND', file: path });
    writeFileSync(path, '');
    truncateSync(path, 0);
    await expect(device.mapFile(path)).rejects.toMatchObject({ code: 'CE_FILE_INVALID', file: path });
    await expect(device.mapFile(folder)).rejects.toMatchObject({ code: 'CE_FILE_INVALID' });
    expect(existsSync(path)).toBe(true);
  });
});
