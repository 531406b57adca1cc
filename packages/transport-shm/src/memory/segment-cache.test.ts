import type { Device, Memory } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { SegmentCache } from './segment-cache.ts';

/** A device that counts open segments; a handle of 0 cannot be opened. */
function countingDevice() {
  const opened: number[] = [];
  const closed: number[] = [];
  const openShared = async (handle: Uint8Array): Promise<Memory> => {
    const [id] = handle;
    if (id === 0) throw new Error('gone');
    opened.push(id!);
    return { close: () => closed.push(id!) } as unknown as Memory;
  };
  return { opened, closed, device: { openShared } as unknown as Device };
}

const segment = (id: number) => ({ handle: Uint8Array.of(id), memoryBytes: 100 });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('SegmentCache', () => {
  it('opens a segment once, also for users at the same time', async () => {
    const { device, opened } = countingDevice();
    const cache = new SegmentCache(device);
    await Promise.all([cache.use([segment(1)], async () => {}), cache.use([segment(1)], async () => {})]);
    await cache.use([segment(1), segment(2)], async (memories) => expect(memories).toHaveLength(2));
    expect(opened).toEqual([1, 2]);
    cache.close();
  });

  it('closes only idle segments', async () => {
    const { device, closed, opened } = countingDevice();
    const cache = new SegmentCache(device, 20);
    await cache.use([segment(1)], async () => {});
    await cache.use([segment(2)], async () => {
      await expect.poll(() => closed).toEqual([1]);
      await pause(50);
      expect(closed).toEqual([1]);
    });
    await expect.poll(() => closed).toEqual([1, 2]);
    await cache.use([segment(1)], async () => {});
    expect(opened).toEqual([1, 2, 1]);
    cache.close();
  });

  it('when closed, closes used segments after their use, and opens no more', async () => {
    const { device, closed } = countingDevice();
    const cache = new SegmentCache(device);
    await cache.use([segment(1)], async () => {});
    await cache.use([segment(2)], async () => {
      cache.close();
      await pause(0);
      expect(closed).toEqual([1]);
    });
    await pause(0);
    expect(closed).toEqual([1, 2]);
    await expect(cache.use([segment(1)], async () => {})).rejects.toMatchObject({ code: 'CE_CLOSED' });
  });

  it('tries again to open a segment after a failure', async () => {
    const { device } = countingDevice();
    const cache = new SegmentCache(device);
    for (let i = 0; i < 2; i++) await expect(cache.use([segment(0)], async () => {})).rejects.toThrow('gone');
    cache.close();
  });
});
