import type { Device, HostMemory } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { SharedPool } from './shared-pool.ts';

/** A device that only records its allocations. */
function fakeDevice(): { device: Device; open: Set<HostMemory> } {
  const open = new Set<HostMemory>();
  const allocateHost = async (sizeBytes: number): Promise<HostMemory> => {
    const memory = { sizeBytes, close: () => open.delete(memory) } as unknown as HostMemory;
    open.add(memory);
    return memory;
  };
  return { device: { allocateHost } as unknown as Device, open };
}

describe('SharedPool', () => {
  it('passes its memory to the next user', async () => {
    const { device, open } = fakeDevice();
    const pool = new SharedPool(device, {});
    const first = await pool.acquire('a', 10);
    pool.release();
    expect(await pool.acquire('b', 8)).toBe(first);
    expect(open.size).toBe(1);
  });

  it('never overwrites memory that a worker may still read: retired memory is freed with its user', async () => {
    const { device, open } = fakeDevice();
    const pool = new SharedPool(device, {});
    const first = await pool.acquire('a', 10);
    pool.retire();
    expect(open.has(first)).toBe(true);
    pool.release();
    expect(open.has(first)).toBe(false);
    const second = await pool.acquire('b', 8);
    expect(second).not.toBe(first);
    pool.release();
    expect(open.has(second)).toBe(true);
  });
});
