import { silentLogger } from '@checkpoint-engine/interface';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Meetings } from './meetings.ts';

const setUp = (run: (name: string, calls: ReadonlyMap<number, string>) => Promise<void> = async () => {}) => {
  const runs: [string, [number, string][]][] = [];
  const warned: object[] = [];
  const meetings = new Meetings<string>({
    worldSize: 3,
    what: 'update',
    run: (name, calls) => {
      runs.push([name, [...calls]]);
      return run(name, calls);
    },
    logger: { ...silentLogger, warn: (about: object) => void warned.push(about) },
  });
  return { meetings, runs, warned };
};
const { signal } = new AbortController();
afterEach(() => void vi.useRealTimers());

describe('Meetings', () => {
  it('run once when all ranks have arrived, and answer all of them', async () => {
    const { meetings, runs } = setUp();
    const joined = [2, 0].map((rank) => meetings.join('a', rank, `call ${rank}`, signal));
    const other = meetings.join('b', 1, 'other', signal);
    await Promise.resolve();
    expect(runs).toEqual([]);
    await meetings.join('a', 1, 'call 1', signal);
    await Promise.all(joined);
    expect(runs).toEqual([
      [
        'a',
        [
          [2, 'call 2'],
          [0, 'call 0'],
          [1, 'call 1'],
        ],
      ],
    ]);
    void other.catch(() => {});
  });

  it('pass the failure of the run to all ranks', async () => {
    const { meetings } = setUp(() => Promise.reject(new Error('no')));
    const outcomes = await Promise.allSettled([0, 1, 2].map((rank) => meetings.join('a', rank, '', signal)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });

  it('let a rank leave and come again', async () => {
    const { meetings, runs } = setUp();
    const leaving = new AbortController();
    const left = meetings.join('a', 0, 'first', leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await Promise.all([0, 1, 2].map((rank) => meetings.join('a', rank, `second ${rank}`, signal)));
    expect(runs[0]![1].map(([, call]) => call)).toEqual(['second 0', 'second 1', 'second 2']);
  });

  it('refuse a rank that already waits', async () => {
    const { meetings, runs } = setUp();
    const first = meetings.join('a', 0, '', signal);
    await expect(meetings.join('a', 0, '', signal)).rejects.toMatchObject({ httpStatus: 409 });
    // The first one still waits.
    await Promise.all([first, meetings.join('a', 1, '', signal), meetings.join('a', 2, '', signal)]);
    expect(runs).toHaveLength(1);
  });

  it('name the missing ranks, in the log and then to those that waited', async () => {
    vi.useFakeTimers();
    const { meetings, warned } = setUp();
    const joined = Promise.allSettled([0, 2].map((rank) => meetings.join('a', rank, '', signal)));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(warned).toEqual([{ checkpoint: 'a', call: 'update', missingRanks: [1] }]);
    await vi.advanceTimersByTimeAsync(590_000);
    for (const outcome of await joined) {
      expect(outcome).toMatchObject({ reason: { code: 'CE_TIMEOUT', message: expect.stringContaining('Ranks [1]') } });
    }
    expect(vi.getTimerCount()).toBe(0);
  });
});
