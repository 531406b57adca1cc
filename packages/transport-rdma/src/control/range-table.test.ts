import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RangeTable } from './range-table.ts';

describe('RangeTable', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  test('grants leases only on exactly registered ranges', () => {
    const table = new RangeTable();
    const { number } = table.add('4096', 100);
    expect(table.lease([[number, '4096', 99]], 1000)).toEqual({ unknown: number });
    expect(table.lease([[number, '4097', 100]], 1000)).toEqual({ unknown: number });
    expect(
      table.lease(
        [
          [number, '4096', 100],
          [99, '1', 1],
        ],
        1000,
      ),
    ).toEqual({ unknown: 99 });
    const given = table.lease([[number, '4096', 100]], 1000) as { lease: number };
    expect(table.release(given.lease)).toBe(true);
    expect(table.release(given.lease)).toBe(false);
  });

  test('removing waits for the leases on that range, and grants no more', async () => {
    const table = new RangeTable();
    const one = table.add('1', 1);
    const two = table.add('2', 1);
    const first = table.lease(
      [
        [one.number, '1', 1],
        [two.number, '2', 1],
      ],
      60_000,
    ) as { lease: number };
    const second = table.lease([[two.number, '2', 1]], 60_000) as { lease: number };
    let removed = false;
    const removing = table.remove(one.number, 10_000).then(() => {
      removed = true;
    });
    expect(table.lease([[one.number, '1', 1]], 1000)).toEqual({ unknown: one.number });
    await vi.advanceTimersByTimeAsync(5000);
    expect(removed).toBe(false);
    table.release(first.lease);
    await removing;
    table.release(second.lease);
  });

  test('removing waits at most for the given time, and then the reader loses its lease', async () => {
    const table = new RangeTable();
    const { number } = table.add('1', 1);
    const given = table.lease([[number, '1', 1]], 60_000) as { lease: number };
    const removing = table.remove(number, 10_000);
    await vi.advanceTimersByTimeAsync(10_000);
    await removing;
    expect(table.release(given.lease)).toBe(false);
  });

  test('a lease expires', async () => {
    const table = new RangeTable();
    const { number } = table.add('1', 1);
    table.lease([[number, '1', 1]], 2000);
    const removing = table.remove(number, 10_000);
    await vi.advanceTimersByTimeAsync(2000);
    await removing;
  });
});
