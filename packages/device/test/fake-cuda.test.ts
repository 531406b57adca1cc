// The CUDA kind on a FAKE driver (test/fake-cuda): its behavior in JavaScript, on machines without a GPU. Each test is
// a separate process, because a process opens the driver once. *.gpu.test.ts has the same on real GPUs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageFolder, quietEnd, Script } from './support.ts';

let folder: string;
beforeAll(() => {
  execFileSync('make', ['-C', join(packageFolder, 'native'), '-s', 'fake-cuda']);
  folder = mkdtempSync(join(tmpdir(), 'ce-fake-cuda-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const prelude = `
  import process from 'node:process';
  import { writeFileSync } from 'node:fs';
  import { createCudaDevice, createHostDevice, listCudaDevices } from '@checkpoint-engine/device';
  import { isHostMemory, isSharedMemory } from '@checkpoint-engine/interface';
  const range = (memory, offsetBytes = 0, sizeBytes = memory.sizeBytes) => ({ memory, offsetBytes, sizeBytes });
  const copyOf = (from, to) => [{ from, to }];
  const mib = 1 << 20;
  const codeOf = (promise) => promise.then(() => 'fine', (error) => error.code ?? error.name);
`;
const fake = join(packageFolder, 'build', 'libfake-cuda.so');
const run = async (code: string, env: Record<string, string> = {}) => {
  const script = new Script(prelude + code, [process.execPath, '--input-type=module', '--expose-gc', '-e'], {
    CHECKPOINT_ENGINE_CUDA_LIB: fake,
    ...env,
  });
  const end = await script.end();
  const left = readdirSync('/dev/shm').filter((name) => name.includes(`-${script.child.pid}-`));
  return { ...end, left };
};
const quiet = (output: string): object => ({ ...quietEnd(output), left: [] });
/** The driver's functions in the order in which they were called. */
const calls = async (code: string): Promise<string[]> => {
  const log = join(folder, 'log');
  writeFileSync(log, '');
  expect(await run(code, { FAKE_CUDA_LOG: log })).toMatchObject({ code: 0, errors: '' });
  return readFileSync(log, 'utf8').trim().split('\n');
};

describe('finding GPUs', () => {
  it('lists them', async () => {
    const { output } = await run('console.log(JSON.stringify(await listCudaDevices()))');
    expect(JSON.parse(output)).toEqual({
      available: true,
      driverPath: fake,
      cudaVersion: '12.8',
      devices: [0, 1].map((index) => ({
        index,
        uuid: `GPU-${index}0${index}1${index}2${index}3-${index}4${index}5-${index}6${index}7-${index}8${index}9-${index}a${index}b${index}c${index}d${index}e${index}f`,
        name: `Fake GPU ${index}`,
        totalBytes: 256 << 20,
      })),
    });
  });

  it.each([
    ['no library', { CHECKPOINT_ENGINE_CUDA_LIB: '/nowhere/libcuda.so.1' }, '/nowhere/libcuda.so.1: cannot open'],
    ['a library other than CUDA', { CHECKPOINT_ENGINE_CUDA_LIB: 'libc.so.6' }, 'lacks cuInit cuDriverGetVersion'],
    ['no GPU', { FAKE_CUDA_DEVICES: '0' }, 'cuInit failed: CUDA_ERROR_NO_DEVICE: no CUDA-capable device'],
    ['a failing driver', { FAKE_CUDA_FAIL: 'cuInit:1:999' }, 'cuInit failed: CUDA_ERROR_FAKE'],
  ])('returns a reason, not an error, with %s', async (_, env, reason) => {
    const { output } = await run(
      `console.log(JSON.stringify(await listCudaDevices()));
       console.log(await codeOf(createCudaDevice()), await codeOf(createCudaDevice({ uuid: 'GPU-1' })));`,
      env,
    );
    const [list, codes] = output.split('\n');
    expect(JSON.parse(list!)).toEqual({ available: false, reason: expect.stringContaining(reason) });
    expect(codes).toBe('CE_DEVICE_UNAVAILABLE CE_DEVICE_UNAVAILABLE');
  });

  it('opens one by index or uuid, and names the existing ones', async () => {
    const end = await run(`
      const { devices } = await listCudaDevices();
      const device = await createCudaDevice({ uuid: devices[1].uuid });
      console.log(device.kind, device.index, device.uuid === devices[1].uuid, device.name, JSON.stringify(device.supports));
      await createCudaDevice({ index: 2 }).catch((error) => console.log(error.code, error.message));
      console.log(await codeOf(createCudaDevice({ uuid: 'GPU-1' })), await codeOf(createCudaDevice({ index: -1 })));
      await device.close();
    `);
    expect(end).toEqual(
      quiet(
        [
          'cuda 1 true Fake GPU 1 {"hostAddressable":false,"pinning":true}',
          'CE_DEVICE_UNAVAILABLE GPU 2 was requested, but 2 are visible to this process',
          'CE_DEVICE_UNAVAILABLE RangeError',
        ].join('\n'),
      ),
    );
  });
});

describe('memory and copies', () => {
  it('move bytes from host to device to device to host, in order', async () => {
    const end = await run(
      `
      const device = await createCudaDevice();
      const [host, back] = [await device.allocateHost(10 * mib), await device.allocateHost(10 * mib)];
      const [a, b] = [await device.allocate(10 * mib), await device.allocateShared(10 * mib)];
      await host.write(0, new Uint8Array(10 * mib).map((_, i) => i * 7));
      console.log(host.kind, a.kind, b.kind, isHostMemory(host), isHostMemory(a), isSharedMemory(a), isSharedMemory(b), b.handle.length);
      const stream = device.createStream('all');
      const order = [];
      await Promise.all([
        stream.copy(copyOf(range(host), range(a))).then(() => order.push(1)),
        stream.copy(copyOf(range(a), range(b))).then(() => order.push(2)),
        stream.copy([...copyOf(range(b, 0, mib), range(back, mib, mib)), ...copyOf(range(b, mib, mib), range(back, 0, mib))]).then(() => order.push(3)),
        stream.copy(copyOf(range(back, 0, 2 * mib), range(back, 4 * mib, 2 * mib))).then(() => order.push(4)),
      ]);
      const same = (x, y) => Buffer.compare(x, y) === 0;
      console.log(order.join(), same(back.view(mib, mib), host.view(0, mib)), same(back.view(4 * mib, mib), host.view(mib, mib)));
      console.log(await codeOf(stream.copy(copyOf(range(a, 0, 1), range(b, 10 * mib, 1)))), await codeOf(stream.copy([])));
      console.log(JSON.stringify(device.memoryInfo()));
      await device.close();
    `,
      { FAKE_CUDA_DELAY_US: '3000' },
    );
    expect(end).toEqual(
      quiet(
        [
          'host device device true false false true 64',
          '1,2,3,4 true true',
          'RangeError fine',
          `{"freeBytes":${(256 - 20) << 20},"totalBytes":${256 << 20}}`,
        ].join('\n'),
      ),
    );
  });

  it('share device memory between processes, and refuse to open their own', async () => {
    const script = new Script(
      `${prelude}
      const device = await createCudaDevice();
      const shared = await device.allocateShared(3 * mib);
      const host = await device.allocateHost(mib, { shared: true });
      const stream = device.createStream('x');
      await host.write(0, Uint8Array.of(1, 2, 3));
      await stream.copy(copyOf(range(host), range(shared, 2 * mib, mib)));
      await device.openShared(shared.handle, mib).catch((error) => console.error(error.code, error.message));
      console.log(Buffer.from(shared.handle).toString('hex') + ' ' + Buffer.from(host.handle).toString('hex'));
      process.stdin.resume().on('end', () => device.close());
    `,
      [process.execPath, '--input-type=module', '-e'],
      { CHECKPOINT_ENGINE_CUDA_LIB: fake },
    );
    const [handle, hostHandle] = (await script.line()).split(' ');
    const end = await run(`
      const device = await createCudaDevice();
      const shared = await device.openShared(Buffer.from('${handle}', 'hex'), 3 * mib);
      const pool = await device.openShared(Buffer.from('${hostHandle}', 'hex'), mib);
      const host = await device.allocateHost(mib);
      await device.createStream('x').copy(copyOf(range(shared, 2 * mib, mib), range(host)));
      console.log([...host.view(0, 4)].join(), [...pool.view(0, 4)].join(), isSharedMemory(shared));
      console.log(await codeOf(device.openShared(Buffer.from('${handle}', 'hex'), 5 * mib)));
      console.log(await codeOf(device.openShared(new Uint8Array(64), 1)), await codeOf(device.openShared(new Uint8Array(66), 1)));
      await device.close();
    `);
    script.child.stdin!.end();
    expect(end).toEqual(quiet('1,2,3,0 1,2,3,0 false\nCE_SHM_FAILED\nCE_SHM_FAILED CE_SHM_FAILED'));
    expect(await script.end()).toMatchObject({
      code: 0,
      errors: 'CE_SHM_FAILED CUDA cannot open a handle in the process that exported it',
    });
  });

  it('report the available memory if there is not enough', async () => {
    const end = await run(`
      const device = await createCudaDevice();
      const first = await device.allocateShared(200 * mib);
      for (const allocate of ['allocate', 'allocateShared']) {
        await device[allocate](100 * mib).catch((e) => console.log(e.code, e.op, e.status, e.detail, '|', e.message));
      }
      await device.close();
    `);
    const line =
      'CE_DEVICE_OUT_OF_MEMORY cuMemAlloc 2 CUDA_ERROR_OUT_OF_MEMORY: out of memory | ' +
      `Device memory of ${100 << 20} bytes was requested, but ${56 << 20} of ${256 << 20} bytes are free`;
    expect(end).toEqual(quiet(`${line}\n${line}`));
  });

  it('keep memory that a copy uses until it is done, even if everything is closed', async () => {
    const code = `
      const device = await createCudaDevice();
      const [host, memory] = [await device.allocateHost(mib), await device.allocateShared(mib)];
      await host.pin();
      const stream = device.createStream('x');
      const copies = Array.from({ length: 20 }, () => stream.copy(copyOf(range(host), range(memory))));
      host.close();
      memory.close();
      stream.close();
    `;
    const env = { FAKE_CUDA_DELAY_US: '5000' };
    expect(await run(`${code} await Promise.all(copies); await device.close(); console.log('ok');`, env)).toEqual(
      quiet('ok'),
    );
    expect(await run(`${code} await device.close(); await Promise.all(copies); console.log('ok');`, env)).toEqual(
      quiet('ok'),
    );
    expect(await run(`${code} console.log('ok');`, env)).toEqual(quiet('ok'));
    expect(await run(`${code} console.log('ok'); process.exit();`, env)).toMatchObject({ code: 0, errors: '' });
  });

  it("fail a copy with the driver's message, and continue", async () => {
    const end = await run(
      `
      const device = await createCudaDevice();
      const [host, memory] = [await device.allocateHost(mib), await device.allocate(mib)];
      const stream = device.createStream('x');
      const three = Array.from({ length: 3 }, () => copyOf(range(host), range(memory))[0]);
      await stream.copy(three).catch((e) => console.log(e.code, e.op, e.status, '|', e.message));
      await stream.copy(three);
      await stream.copy(three).catch((e) => console.log(e.code, e.op, e.status));
      await stream.copy(three).catch((e) => console.log(e.code, e.op, e.status));
      await stream.copy(three);
      console.log('fine');
      await device.close();
    `,
      {
        FAKE_CUDA_FAIL: 'cuMemcpyHtoDAsync_v2:2:700,cuEventRecord:3:4,cuEventSynchronize:3:719',
        FAKE_CUDA_DELAY_US: '1000',
      },
    );
    expect(end).toEqual(
      quiet(
        [
          'CE_DEVICE_FAILED cuMemcpyHtoDAsync 700 | cuMemcpyHtoDAsync failed: CUDA_ERROR_FAKE: made up',
          'CE_DEVICE_FAILED cuEventRecord 4',
          'CE_DEVICE_FAILED cuEventSynchronize 719',
          'fine',
        ].join('\n'),
      ),
    );
  });

  it('survive without being closed', async () => {
    const end = await run(`
      await (async () => {
        const device = await createCudaDevice();
        const [host, memory] = [await device.allocateHost(mib), await device.allocateShared(mib)];
        await host.pin();
        await device.createStream('x').copy(copyOf(range(host), range(memory)));
      })();
      for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((done) => setTimeout(done, 10)); }
      console.log('ok');
    `);
    expect(end).toEqual(quiet('ok'));
  });
});

describe('pinning', () => {
  it('happens in pieces while files are read, and copies never cross a piece', async () => {
    const path = join(folder, 'weights');
    const end = await run(
      `
      const path = ${JSON.stringify(path)};
      const size = 300 * mib;
      writeFileSync(path, new Uint8Array(size).fill(3));
      const device = await createCudaDevice();
      const host = await device.allocateHost(800 * mib);
      const read = (offsetBytes, sizeBytes) => ({ path, fileOffsetBytes: 0, offsetBytes, sizeBytes });
      await host.read([read(10, size)]);
      console.log(host.pinned);
      await host.read([read(310 * mib, size), read(610 * mib, 190 * mib)]);
      console.log(host.pinned);
      const memory = await device.allocate(size);
      const stream = device.createStream('x');
      await stream.copy(copyOf(range(host, 10, size), range(memory)));
      await stream.copy(copyOf(range(memory), range(host, 500 * mib, size)));
      console.log(host.view(499 * mib, 2 * mib).every((byte) => byte === 3));
      await host.pin();
      await device.close();
    `,
      { FAKE_CUDA_BYTES: `${400 << 20}` },
    );
    expect(end).toEqual(quiet('false\ntrue\ntrue'));
  });

  it('is done once by pin() if nothing was read', async () => {
    const log = await calls(`
      const device = await createCudaDevice();
      const host = await device.allocateHost(600 * mib);
      await Promise.all([host.pin(), host.pin()]);
      await host.pin();
      if (!host.pinned) console.error('not pinned');
      await device.close();
    `);
    expect(log.filter((name) => name === 'cuMemHostRegister_v2').length).toBe(3);
    expect(log.filter((name) => name === 'cuMemHostUnregister').length).toBe(3);
  });

  it('fails the read or the call that it is part of', async () => {
    const path = join(folder, 'small');
    writeFileSync(path, new Uint8Array(100));
    const end = await run(
      `
      const device = await createCudaDevice();
      const host = await device.allocateHost(100);
      const reads = [{ path: ${JSON.stringify(path)}, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 100 }];
      await host.read(reads).catch((e) => console.log(e.code, e.op, e.status));
      await host.pin().catch((e) => console.log(e.code, e.op, e.status));
      await host.read(reads);
      console.log(host.pinned);
      await device.close();
    `,
      { FAKE_CUDA_FAIL: 'cuMemHostRegister_v2:1:2,cuMemHostRegister_v2:2:2' },
    );
    const line = 'CE_DEVICE_FAILED cuMemHostRegister 2';
    expect(end).toEqual(quiet(`${line}\n${line}\ntrue`));
  });

  it('maps files on tmpfs in place', async () => {
    const path = `/dev/shm/ce-test-in-place-${process.pid}`;
    writeFileSync(path, Uint8Array.of(1, 2, 3));
    try {
      const end = await run(`
        const device = await createCudaDevice();
        const mapped = await device.mapFile(${JSON.stringify(path)});
        await mapped.pin();
        const memory = await device.allocate(3);
        const stream = device.createStream('x');
        await stream.copy(copyOf(range(mapped), range(memory)));
        mapped.view(0, 3)[1] = 9;
        console.log(mapped.pinned, mapped.sizeBytes);
        await device.close();
      `);
      expect(end).toEqual(quiet('true 3'));
      expect([...readFileSync(path)]).toEqual([1, 9, 3]);
    } finally {
      rmSync(path);
    }
  });

  it('fails the copy from a file that became shorter, and the process continues', async () => {
    const path = `/dev/shm/ce-test-cut-short-${process.pid}`;
    writeFileSync(path, new Uint8Array(8192).fill(7));
    try {
      const end = await run(`
        import { truncateSync } from 'node:fs';
        const device = await createCudaDevice();
        const mapped = await device.mapFile(${JSON.stringify(path)});
        await mapped.pin();
        truncateSync(${JSON.stringify(path)}, 100);
        const stream = device.createStream('x');
        for (const memory of [await device.allocate(8192), await device.allocateHost(8192)]) {
          await stream.copy(copyOf(range(mapped), range(memory))).catch((e) => console.log(e.code, e.file));
        }
        console.log((await mapped.fileState()).sizeBytes);
        await device.close();
      `);
      const line = `CE_FILE_CHANGED ${path}`;
      expect(end).toEqual(quiet(`${line}\n${line}\n100`));
    } finally {
      rmSync(path);
    }
  });
});

describe('closing', () => {
  it('releases everything once, and the context last', async () => {
    const log = await calls(`
      const device = await createCudaDevice();
      const [host, memory, shared] = [await device.allocateHost(mib), await device.allocate(mib), await device.allocateShared(mib)];
      await host.pin();
      const stream = device.createStream('x');
      await stream.copy(copyOf(range(host), range(memory)));
      memory.close();
      await Promise.all([device.close(), device.close()]);
    `);
    const count = (name: string) => log.filter((call) => call === name).length;
    expect(count('cuMemAlloc_v2')).toBe(2);
    expect(count('cuMemFree_v2')).toBe(2);
    expect(count('cuMemHostUnregister')).toBe(1);
    expect(count('cuStreamDestroy_v2')).toBe(1);
    expect(count('cuEventDestroy_v2')).toBe(count('cuEventCreate'));
    expect(count('cuDevicePrimaryCtxRelease_v2')).toBe(1);
    expect(log.at(-1)).toBe('cuDevicePrimaryCtxRelease_v2');
  });

  it('lets copies between a GPU and memory of a host device finish', async () => {
    const end = await run(`
      const device = await createCudaDevice();
      const plain = await createHostDevice();
      const [host, memory] = [await plain.allocateShared(mib), await device.allocate(mib)];
      await device.createStream('x').copy([...copyOf(range(host), range(memory)), ...copyOf(range(memory), range(host))]);
      console.log('ok');
      await plain.close();
      await device.close();
    `);
    expect(end).toEqual(quiet('ok'));
  });
});
