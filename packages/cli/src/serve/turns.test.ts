import { describe, expect, it } from 'vitest';
import { Turns } from './turns.ts';

const never = (): Promise<never> => new Promise(() => {});

describe('Turns', () => {
  it('runs one piece of work at a time, in order', async () => {
    const turns = new Turns();
    const log: string[] = [];
    const work = (name: string) => async () => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} ends`);
      return name;
    };
    expect(await Promise.all([turns.take(work('a')), turns.take(work('b')), turns.take(work('c'))])).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('continues after work that failed', async () => {
    const turns = new Turns();
    const failed = turns.take(() => Promise.reject(new Error('no')));
    const next = turns.take(async () => 'next');
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('next');
  });

  it('ends the wait at the signal and after the time, and keeps the order of the others', async () => {
    const turns = new Turns();
    let end!: () => void;
    const first = turns.take(() => new Promise<void>((resolve) => (end = resolve)));
    const controller = new AbortController();
    const withdrawn = turns.take(never, { signal: controller.signal });
    const late = turns.take(never, { waitMs: 20 });
    const last = turns.take(async () => 'last');
    controller.abort();
    await expect(withdrawn).rejects.toMatchObject({ code: 'CE_ABORTED' });
    await expect(late).rejects.toMatchObject({ code: 'CE_CHECKPOINT_BUSY', retryable: true });
    end();
    await first;
    expect(await last).toBe('last');
  });
});
