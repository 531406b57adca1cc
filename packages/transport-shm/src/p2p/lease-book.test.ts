import type { MemoryRange } from '@checkpoint-engine/interface';
import { describe, expect, it, vi } from 'vitest';
import { LeaseBook } from './lease-book.ts';

const memory = { kind: 'host', sizeBytes: 1000, handle: Uint8Array.of(1, 2) } as unknown as MemoryRange['memory'];
const range = { memory, offsetBytes: 10, sizeBytes: 100 };
const noRevoke = { revoke: () => {} };

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (await Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 20, pending))])) === pending;
}

describe('LeaseBook', () => {
  it('grants registered ranges, and names missing ones', () => {
    const book = new LeaseBook(1000);
    const key = book.add(range);
    expect(book.grant([key], noRevoke)).toEqual([
      { handle: Uint8Array.of(1, 2), memoryBytes: 1000, offsetBytes: 10, sizeBytes: 100 },
    ]);
    expect(book.grant([key, 'other'], noRevoke)).toBe('other');
  });

  it('grants no leases on a range that is being withdrawn, and waits for its readers', async () => {
    const book = new LeaseBook(10_000);
    const key = book.add(range);
    const leases = [{ ...noRevoke }, { ...noRevoke }];
    for (const lease of leases) book.grant([key], lease);
    const removed = book.remove(key);
    expect(book.grant([key], noRevoke)).toBe(key);
    book.release(leases[0]!);
    expect(await isPending(removed)).toBe(true);
    book.release(leases[1]!);
    await removed;
  });

  it('revokes leases that last too long', async () => {
    const book = new LeaseBook(30);
    const key = book.add(range);
    const lease = { revoke: vi.fn(() => book.release(lease)) };
    book.grant([key], lease);
    await book.remove(key);
    expect(lease.revoke).toHaveBeenCalledOnce();
  });

  it('waits for readers of one range only', async () => {
    const book = new LeaseBook(10_000);
    const [one, two] = [book.add(range), book.add(range)];
    book.grant([one], noRevoke);
    await book.remove(two);
  });

  it('keeps nothing of a refused request', async () => {
    const book = new LeaseBook(10_000);
    const key = book.add(range);
    book.grant([key, 'other'], noRevoke);
    await book.remove(key);
  });
});
