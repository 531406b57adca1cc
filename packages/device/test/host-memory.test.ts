import { Buffer } from 'node:buffer';
import { createHostDevice, detachView, type HostDevice } from '@checkpoint-engine/device';
import { isHostMemory, isSharedMemory } from '@checkpoint-engine/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { range } from './support.ts';

let device: HostDevice;
beforeAll(async () => {
  device = await createHostDevice({ index: 3 });
});
afterAll(() => device.close());

describe('a host device', () => {
  it('describes itself', () => {
    expect(device).toMatchObject({ specVersion: 1, kind: 'host', name: 'host', index: 3 });
    expect(device.uuid).toMatch(/^HOST-[0-9a-f]{8}-3$/);
    expect(device.supports).toEqual({ hostAddressable: true, pinning: false });
    const { freeBytes, totalBytes } = device.memoryInfo();
    expect(freeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  });

  it('has the same uuid prefix in every process and a different suffix for every index', async () => {
    await using other = await createHostDevice({ index: 4 });
    expect(other.uuid).toBe(device.uuid.replace(/3$/, '4'));
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53])('refuses a size of %s', async (sizeBytes) => {
    await expect(device.allocate(sizeBytes)).rejects.toThrow(RangeError);
    await expect(device.allocateShared(sizeBytes)).rejects.toThrow(RangeError);
    await expect(device.allocateHost(sizeBytes)).rejects.toThrow(RangeError);
  });

  it('refuses wrong types and options', async () => {
    await expect(device.allocate('1' as never)).rejects.toThrow(TypeError);
    await expect(device.openShared('name' as never, 1)).rejects.toThrow(TypeError);
    await expect(device.mapFile(1 as never)).rejects.toThrow(TypeError);
    expect(() => device.createStream(undefined as never)).toThrow(TypeError);
    await expect(createHostDevice({ threads: 0 })).rejects.toThrow(RangeError);
    await expect(createHostDevice({ index: -1 })).rejects.toThrow(RangeError);
    await expect(createHostDevice({ directory: '/nowhere' })).rejects.toMatchObject({
      code: 'CE_SHM_FAILED',
      op: 'opendir',
    });
  });

  it('refuses more memory than the machine has, before the OOM killer acts', async () => {
    const error = device.allocateHost(2 ** 50);
    await expect(error).rejects.toMatchObject({ code: 'CE_HOST_OUT_OF_MEMORY' });
    await expect(error).rejects.toThrow(`${2 ** 50}`);
  });
});

describe('writing to host memory', () => {
  const sizeBytes = 64 * 2 ** 20;

  it('fails if the memory of the source bytes is closed meanwhile', async () => {
    for (let round = 0; round < 3; round++) {
      using memory = await device.allocateHost(sizeBytes);
      const other = await device.allocateHost(sizeBytes);
      const writing = memory.write(0, other.view(0, sizeBytes));
      other.close();
      await expect(writing).rejects.toMatchObject({
        code: 'CE_CLOSED',
        message: expect.stringContaining(`${sizeBytes}`),
      });
    }
  });

  it('fails if the buffer of the bytes is transferred meanwhile, and if the memory is closed', async () => {
    using memory = await device.allocateHost(sizeBytes);
    const bytes = new Uint8Array(sizeBytes);
    const writing = memory.write(0, bytes);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    await expect(writing).rejects.toMatchObject({ code: 'CE_CLOSED' });
    const closed = await device.allocateHost(sizeBytes);
    const other = closed.write(0, new Uint8Array(sizeBytes));
    closed.close();
    await expect(other).rejects.toMatchObject({ code: 'CE_CLOSED' });
  });

  it('yields to the event loop, and copies every byte', async () => {
    using memory = await device.allocateHost(sizeBytes + 3);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    const bytes = new Uint8Array(sizeBytes + 1).map((_, at) => at % 251);
    await memory.write(2, bytes);
    clearImmediate(timer);
    expect(turns).toBeGreaterThan(3);
    expect(Buffer.compare(memory.view(2, bytes.length), bytes)).toBe(0);
  });

  it('accepts bytes that threads share', async () => {
    using memory = await device.allocateHost(sizeBytes);
    await memory.write(1, new Uint8Array(new SharedArrayBuffer(sizeBytes - 1)).fill(7));
    expect([...memory.view(0, 3)]).toEqual([0, 7, 7]);
    expect(memory.view(sizeBytes - 1, 1)[0]).toBe(7);
  });

  it('refuses bytes that do not fit, empty ranges, and values that are not bytes', async () => {
    using memory = await device.allocateHost(10);
    await expect(memory.write(5, new Uint8Array(6))).rejects.toThrow(RangeError);
    await expect(memory.write(11, new Uint8Array(0))).rejects.toThrow(RangeError);
    await expect(memory.write(0, 'x' as never)).rejects.toThrow(TypeError);
    await expect(memory.write(0, undefined as never)).rejects.toThrow(TypeError);
    await expect(memory.write(0, new Uint16Array(1) as never)).rejects.toThrow(TypeError);
    await memory.write(10, new Uint8Array(0));
  });
});

describe('host memory', () => {
  it('starts at a huge page and counts as pinned', async () => {
    using memory = await device.allocateHost(100);
    expect(memory.address % BigInt(2 << 20)).toBe(0n);
    expect(memory.pinned).toBe(true);
    await memory.pin();
    expect(isHostMemory(memory)).toBe(true);
    expect(isSharedMemory(memory)).toBe(false);
  });

  it('reaches beyond 4 GiB', async () => {
    using memory = await device.allocateHost(5 * 2 ** 30);
    const offset = 4.5 * 2 ** 30;
    await memory.write(offset, Uint8Array.of(1, 2, 3));
    expect([...memory.view(offset, 4)]).toEqual([1, 2, 3, 0]);
    expect(memory.view(0, 2 ** 31).length).toBe(2 ** 31);
    expect(() => memory.view(0, 2 ** 31 + 1)).toThrow(RangeError);
  });

  it('shows writes in views, and writes of views in the memory', async () => {
    using memory = await device.allocateHost(64);
    const view = memory.view(8, 8);
    await memory.write(6, Uint8Array.of(1, 2, 3, 4));
    expect([...view]).toEqual([3, 4, 0, 0, 0, 0, 0, 0]);
    view[7] = 9;
    expect(memory.view(15, 1)[0]).toBe(9);
    expect(memory.view(64, 0).length).toBe(0);
    await memory.write(64, new Uint8Array());
  });

  it('refuses ranges outside of it and values that are not bytes', async () => {
    using memory = await device.allocateHost(64);
    expect(() => memory.view(60, 5)).toThrow(RangeError);
    expect(() => memory.view(-1, 5)).toThrow(RangeError);
    expect(() => memory.view(0.5, 5)).toThrow(RangeError);
    expect(() => memory.view('0' as never, 5)).toThrow(TypeError);
    await expect(memory.write(60, new Uint8Array(5))).rejects.toThrow(RangeError);
    await expect(memory.write(0, [1] as never)).rejects.toThrow(TypeError);
    await expect(memory.write(0, new Uint16Array(1) as never)).rejects.toThrow(TypeError);
  });

  it('empties its views when it is closed, and closes once', async () => {
    const memory = await device.allocateHost(64);
    const views = [memory.view(0, 64), memory.view(0, 64), memory.view(32, 8)];
    memory.close();
    memory.close();
    expect(views.map((view) => view.length)).toEqual([0, 0, 0]);
    expect(memory.address).toBe(0n);
    expect(memory.sizeBytes).toBe(64);
    expect(memory.pinned).toBe(false);
    const closed = { code: 'CE_CLOSED' };
    expect(() => memory.view(0, 1)).toThrow(expect.objectContaining(closed));
    await expect(memory.write(0, new Uint8Array(1))).rejects.toMatchObject(closed);
    await expect(memory.pin()).rejects.toMatchObject(closed);
    await expect(memory.read([])).rejects.toMatchObject(closed);
  });

  it('detaches one view and keeps the others', async () => {
    using memory = await device.allocateHost(64);
    const [first, second] = [memory.view(0, 64), memory.view(0, 64)];
    detachView(first!);
    detachView(first!);
    expect(first!.length).toBe(0);
    second![5] = 7;
    expect(memory.view(5, 1)[0]).toBe(7);
    expect(() => detachView({} as never)).toThrow(TypeError);
  });

  it('has its own type', async () => {
    using memory = await device.allocateHost(64);
    const impostor = Object.create(Object.getPrototypeOf(memory), { sizeBytes: { value: 64 } });
    const stream = device.createStream('copy');
    for (const foreign of [impostor, { ...memory }, {}, null, 1]) {
      await expect(stream.copy([{ from: range(foreign as never, 0, 1), to: range(memory, 0, 1) }])).rejects.toThrow(
        TypeError,
      );
    }
  });
});

describe('closing a host device', () => {
  it('closes all memory that it created, and refuses later calls', async () => {
    const own = await createHostDevice();
    const memory = await own.allocateHost(1 << 20);
    const shared = await own.allocateShared(1 << 20);
    const stream = own.createStream('copy');
    const view = memory.view(0, 8);
    const pending = stream.copy([{ from: range(memory), to: range(shared) }]);
    const late = own.allocate(10);
    await Promise.all([own.close(), own.close(), pending, expect(late).rejects.toMatchObject({ code: 'CE_CLOSED' })]);
    expect(view.length).toBe(0);
    expect([memory.address, shared.address]).toEqual([0n, 0n]);
    const closed = { code: 'CE_CLOSED' };
    await expect(own.allocate(1)).rejects.toMatchObject(closed);
    await expect(stream.copy([])).rejects.toMatchObject(closed);
    expect(() => own.createStream('x')).toThrow(expect.objectContaining(closed));
    expect(() => own.memoryInfo()).toThrow(expect.objectContaining(closed));
  });
});
