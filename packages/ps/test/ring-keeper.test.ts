import { existsSync } from 'node:fs';
import { createHostDevice, type HostDevice, type SharedHostMemory } from '@checkpoint-engine/device';
import type { Device, SharedMemory } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RingKeeper } from '../src/update/ring-keeper.ts';

const SIZE_BYTES = 64 * 2 ** 10;
let device: HostDevice;
let rings: RingKeeper;

beforeEach(async () => {
  device = await createHostDevice();
  rings = new RingKeeper(device);
});
afterEach(async () => {
  rings.close();
  await device.close();
});

const exists = ({ handle }: SharedMemory): boolean => existsSync(`/dev/shm/${new TextDecoder().decode(handle)}`);

async function update(kind: string, sizeBytes = SIZE_BYTES, isSound = true): Promise<SharedMemory> {
  rings.begin(kind);
  const memory = await rings.take(sizeBytes);
  rings.release(memory, { isOwn: true, isSound });
  return memory;
}

describe('RingKeeper', () => {
  it('passes the ring of a successful update to the next similar one', async () => {
    const first = await update('a');
    expect(rings.keptBytes).toBe(SIZE_BYTES);
    expect(await update('a')).toBe(first);
    expect(exists(first)).toBe(true);
  });

  it('frees the memory before an update of another kind allocates its own, although a worker has it mapped', async () => {
    rings.begin('a');
    const first = (await rings.take(SIZE_BYTES)) as SharedHostMemory;
    first.view(0, 1)[0] = 7;
    const mapped = await device.openShared(first.handle, SIZE_BYTES);
    rings.release(first, { isOwn: true, isSound: true });
    rings.begin('b');
    expect(exists(first)).toBe(false);
    expect(rings.keptBytes).toBe(0);
    await expect.poll(() => mapped.view(0, 1)[0]).toBe(0);
  });

  it.each([
    { what: 'a failed one', isSound: false },
    { what: 'one of another size', sizeBytes: 2 * SIZE_BYTES },
  ])('allocates a new ring after $what', async ({ sizeBytes, isSound }) => {
    const first = await update('a', sizeBytes, isSound);
    expect(await update('a')).not.toBe(first);
    expect(exists(first)).toBe(false);
  });

  it('opens the ring of another rank once, while it stays the same', async () => {
    const theirs = await device.allocateShared(SIZE_BYTES);
    const open = async (handle: Uint8Array): Promise<SharedMemory> => {
      rings.begin('a');
      const memory = await rings.open(handle, SIZE_BYTES);
      rings.release(memory, { isOwn: false, isSound: true });
      return memory;
    };
    const opened = await open(theirs.handle);
    expect(await open(theirs.handle)).toBe(opened);
    const another = await device.allocateShared(SIZE_BYTES);
    expect(await open(another.handle)).not.toBe(opened);
    // It cannot share a ring that it has only opened.
    expect(Buffer.from((await rings.take(SIZE_BYTES)).handle)).not.toEqual(Buffer.from(another.handle));
  });

  it('keeps nothing on a GPU, whose memory is for the engine', async () => {
    const memory = { sizeBytes: SIZE_BYTES, isClosed: false, close: () => Object.assign(memory, { isClosed: true }) };
    const supports = { hostAddressable: false, pinning: true };
    const gpu = { kind: 'cuda', supports, allocateShared: async () => memory } as unknown as Device;
    const keeper = new RingKeeper(gpu);
    keeper.begin('a');
    keeper.release(await keeper.take(SIZE_BYTES), { isOwn: true, isSound: true });
    expect(memory.isClosed).toBe(true);
    expect(keeper.keptBytes).toBe(0);
  });

  it('reports what is missing if no ring is shared', async () => {
    await expect(rings.open(undefined, SIZE_BYTES)).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
  });
});
