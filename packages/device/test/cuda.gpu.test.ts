// The CUDA kind on a real GPU. Without one the tests are skipped and say why; REQUIRE_GPU=1 makes that a failure.
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCudaDevice, listCudaDevices } from '@checkpoint-engine/device';
import { type Device, type HostMemory, isSharedMemory } from '@checkpoint-engine/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quietEnd, range, Script } from './support.ts';

const found = await listCudaDevices();
const reason = found.available ? (found.devices.length > 0 ? '' : 'no GPU is visible') : found.reason;
if (reason !== '') {
  if (process.env.REQUIRE_GPU === '1') throw new Error(`REQUIRE_GPU=1, but there is no GPU: ${reason}`);
  console.log(`skipped: GPU tests of the device package: ${reason}`);
}

const mib = 1 << 20;
const gib = 1 << 30;
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const rate = (bytes: number, ms: number): string => `${(bytes / ms / 1e6).toFixed(1)} GB/s`;
const prelude = `
  import process from 'node:process';
  import { createCudaDevice } from '@checkpoint-engine/device';
  const range = (memory, offsetBytes = 0, sizeBytes = memory.sizeBytes) => ({ memory, offsetBytes, sizeBytes });
  const mib = 1 << 20;
`;

describe.skipIf(reason !== '')('on a real GPU', () => {
  let device: Device;
  let folder: string;
  beforeAll(async () => {
    device = await createCudaDevice();
    folder = mkdtempSync('/dev/shm/ce-gpu-');
    console.log(`${device.name}, ${device.uuid}, ${JSON.stringify(found)}`);
  });
  afterAll(async () => {
    await device?.close();
    if (folder) rmSync(folder, { recursive: true });
  });

  const filled = async (sizeBytes: number): Promise<HostMemory> => {
    const memory = await device.allocateHost(sizeBytes);
    const block = randomFillSync(new Uint8Array(Math.min(sizeBytes, 32 * mib)));
    for (let at = 0; at < sizeBytes; at += block.length) {
      await memory.write(at, block.subarray(0, Math.min(block.length, sizeBytes - at)));
    }
    return memory;
  };

  it('has the name that nvidia-smi shows', () => {
    expect(device.kind).toBe('cuda');
    expect(device.uuid).toMatch(/^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    let text: string;
    try {
      text = execFileSync('nvidia-smi', ['-L'], { encoding: 'utf8' });
    } catch {
      return;
    }
    expect(text).toContain(device.uuid);
  });

  it('moves bytes from host to device to device to host, pinned and not pinned', async () => {
    const size = 700 * mib;
    using host = await filled(size);
    using back = await device.allocateHost(size);
    using a = await device.allocate(size);
    using b = await device.allocateShared(size);
    const stream = device.createStream('all');
    for (const pin of [false, true]) {
      if (pin) await Promise.all([host.pin(), back.pin()]);
      expect([host.pinned, back.pinned]).toEqual([pin, pin]);
      back.view(0, size).fill(0);
      await Promise.all([
        stream.copy([{ from: range(host), to: range(a) }]),
        stream.copy([{ from: range(a, 1, size - 1), to: range(b, 1, size - 1) }]),
        stream.copy([{ from: range(b, 1, size - 1), to: range(back, 1, size - 1) }]),
      ]);
      expect(same(back.view(1, size - 1), host.view(1, size - 1))).toBe(true);
      expect(back.view(0, 1)[0]).toBe(0);
    }
  });

  it('shares memory with another process, and refuses to open its own', async () => {
    using shared = await device.allocateShared(3 * mib);
    using host = await filled(3 * mib);
    const stream = device.createStream('ipc');
    await stream.copy([{ from: range(host), to: range(shared) }]);
    expect(isSharedMemory(shared)).toBe(true);
    expect(shared.handle.length).toBe(64);
    await expect(device.openShared(shared.handle, 3 * mib)).rejects.toMatchObject({
      code: 'CE_SHM_FAILED',
      message: expect.stringContaining('itself'),
    });
    const handle = Buffer.from(shared.handle).toString('hex');
    const script = new Script(`${prelude}
      const device = await createCudaDevice({ uuid: '${device.uuid}' });
      const shared = await device.openShared(Buffer.from('${handle}', 'hex'), 3 * mib);
      const host = await device.allocateHost(3 * mib);
      const stream = device.createStream('x');
      await stream.copy([{ from: range(shared), to: range(host) }]);
      host.view(0, 3 * mib).reverse();
      await stream.copy([{ from: range(host), to: range(shared) }]);
      await device.openShared(Buffer.from('${handle}', 'hex'), 5 * mib).catch((error) => console.log(error.code));
      await device.openShared(new Uint8Array(64), mib).catch((error) => console.log(error.code));
      await device.close();
    `);
    expect(await script.end()).toEqual(quietEnd('CE_SHM_FAILED\nCE_SHM_FAILED'));
    using back = await device.allocateHost(3 * mib);
    await stream.copy([{ from: range(shared), to: range(back) }]);
    expect(same(back.view(0, 3 * mib).reverse(), host.view(0, 3 * mib))).toBe(true);
  });

  it('reports the free memory when it is out of memory', async () => {
    const { totalBytes } = device.memoryInfo();
    const error = device.allocateShared(totalBytes * 2);
    await expect(error).rejects.toMatchObject({ code: 'CE_DEVICE_OUT_OF_MEMORY', status: 2 });
    await expect(error).rejects.toThrow(/bytes are free/);
    using memory = await device.allocate(mib);
    expect(memory.address).not.toBe(0n);
  });

  it('pins while it reads', async () => {
    const files = Array.from({ length: 4 }, (_, i) => join(folder, `${i}`));
    const block = randomFillSync(new Uint8Array(64 * mib));
    for (const path of files) {
      const file = openSync(path, 'w');
      for (let i = 0; i < 16; i++) writeSync(file, block);
      closeSync(file);
    }
    const count = Math.max(2, Math.min(16, Math.floor(freemem() / gib / 3)));
    const reads = Array.from({ length: count }, (_, i) => ({
      path: files[i % files.length]!,
      fileOffsetBytes: 0,
      offsetBytes: i * gib,
      sizeBytes: gib,
    }));
    using pool = await device.allocateHost(count * gib);
    const start = performance.now();
    await pool.read(reads);
    const tookMs = performance.now() - start;
    expect(pool.pinned).toBe(true);
    expect(same(pool.view((count - 1) * gib + 960 * mib, 64 * mib), block)).toBe(true);
    console.log(`read and pinned ${count} GiB in ${tookMs.toFixed(0)} ms, ${rate(count * gib, tookMs)}`);

    const again = performance.now();
    await pool.read(reads);
    console.log(`read ${count} GiB into pinned memory: ${rate(count * gib, performance.now() - again)}`);

    using target = await device.allocate(gib);
    const stream = device.createStream('h2d');
    const copies = Array.from({ length: count }, (_, i) => ({ from: range(pool, i * gib, gib), to: range(target) }));
    await stream.copy(copies);
    const copied = performance.now();
    await stream.copy(copies);
    console.log(`H2D of ${count} GiB: ${rate(count * gib, performance.now() - copied)}`);
  }, 300_000);

  it('settles promises soon after their copies', async () => {
    const size = 128 * mib;
    using host = await filled(size);
    await host.pin();
    using target = await device.allocate(size);
    const stream = device.createStream('latency');
    const copy = { from: range(host), to: range(target) };
    const tiny = { from: range(host, 0, 4096), to: range(target, 0, 4096) };
    const time = async (work: () => Promise<void>): Promise<number> => {
      const start = performance.now();
      await work();
      return performance.now() - start;
    };
    const one = Array.from({ length: 50 }, () => copy);
    await stream.copy(one);
    const batchedMs = await time(() => stream.copy(one));
    const singlyMs = await time(async () => {
      for (let i = 0; i < 50; i++) await stream.copy([copy]);
    });
    const tinyMs = await time(async () => {
      for (let i = 0; i < 500; i++) await stream.copy([tiny]);
    });
    const extraUs = ((singlyMs - batchedMs) / 50) * 1000;
    console.log(
      `128 MiB: ${(batchedMs / 50).toFixed(3)} ms in a batch, ${(singlyMs / 50).toFixed(3)} ms when each is awaited ` +
        `(${extraUs.toFixed(0)} us more); 4 KiB awaited: ${((tinyMs / 500) * 1000).toFixed(0)} us`,
    );
    expect(extraUs).toBeLessThan(500);
  });

  it('pins files on tmpfs in place', async () => {
    const path = join(folder, 'in-place');
    const bytes = randomFillSync(new Uint8Array(300 * mib));
    const file = openSync(path, 'w');
    writeSync(file, bytes);
    closeSync(file);
    using mapped = await device.mapFile(path);
    rmSync(path);
    await mapped.pin();
    expect(mapped.pinned).toBe(true);
    using target = await device.allocate(bytes.length);
    using back = await device.allocateHost(bytes.length);
    const stream = device.createStream('in place');
    await stream.copy([{ from: range(mapped), to: range(target) }]);
    await stream.copy([{ from: range(target), to: range(back) }]);
    expect(same(back.view(0, bytes.length), bytes)).toBe(true);
  });

  it.each([
    ['ends by itself', ''],
    ['is closed', 'await device.close();'],
    ['calls process.exit', 'process.exit(0);'],
  ])('survives copies in flight when the process %s', async (_, end) => {
    const script = new Script(`${prelude}
      const device = await createCudaDevice();
      const [host, memory] = [await device.allocateHost(512 * mib), await device.allocateShared(512 * mib)];
      await host.pin();
      const stream = device.createStream('x');
      const copies = Array.from({ length: 50 }, () => stream.copy([{ from: range(host), to: range(memory) }]));
      host.close();
      memory.close();
      console.log('ok', copies.length);
      ${end}
    `);
    expect(await script.end()).toEqual(quietEnd('ok 50'));
    expect(readdirSync('/dev/shm').filter((name) => name.includes(`-${script.child.pid}-`))).toEqual([]);
  });

  const deno = fileURLToPath(new URL('../../../node_modules/@deno/linux-x64-glibc/deno', import.meta.url));
  if (!existsSync(deno)) console.warn('skipped: CUDA devices in Deno: npm did not install Deno');
  it.skipIf(!existsSync(deno))('works in Deno', async () => {
    const script = new Script(
      `${prelude}
      const device = await createCudaDevice();
      const [host, memory] = [await device.allocateHost(mib), await device.allocateShared(mib)];
      await host.pin();
      await host.write(0, Uint8Array.of(1, 2, 3));
      const stream = device.createStream('x');
      await stream.copy([{ from: range(host, 0, 3), to: range(memory, 9, 3) }]);
      await stream.copy([{ from: range(memory, 9, 3), to: range(host, 100, 3) }]);
      console.log([...host.view(100, 3)].join());
      await device.close();
    `,
      [deno, 'eval'],
    );
    expect(await script.end()).toEqual(quietEnd('1,2,3'));
  });
});
