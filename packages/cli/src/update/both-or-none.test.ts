import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { bothOrNone } from './both-or-none.ts';

describe('bothOrNone', () => {
  it('returns both results', async () => {
    const { signal } = new AbortController();
    expect(await bothOrNone(signal, [async () => 1, async () => 'b'])).toEqual([1, 'b']);
  });

  it('aborts the other one and rejects with the first failure', async () => {
    const { signal } = new AbortController();
    let other: unknown;
    const both = bothOrNone(signal, [
      (stop) =>
        sleep(10_000, undefined, { signal: stop }).catch((error) => {
          other = stop.reason;
          throw error;
        }),
      async () => {
        throw new RangeError('first');
      },
    ]);
    await expect(both).rejects.toThrow(RangeError);
    expect(other).toBeInstanceOf(RangeError);
  });

  it('ends with the reason of the signal', async () => {
    const controller = new AbortController();
    const wait = (stop: AbortSignal) => sleep(10_000, undefined, { signal: stop });
    const both = bothOrNone(controller.signal, [wait, wait]);
    controller.abort(new TypeError('asked'));
    await expect(both).rejects.toThrow('asked');
  });
});
