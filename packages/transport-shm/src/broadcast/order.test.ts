import { describe, expect, it } from 'vitest';
import { Order } from './order.ts';

/** Enters broadcasts whose parts end when the test decides, and records the calls that may continue. */
function rig() {
  const order = new Order();
  const log: string[] = [];
  const enter = (name: string) => {
    const end = { written: () => {}, read: () => {} };
    const written = new Promise<void>((resolve) => {
      end.written = resolve;
    });
    const read = new Promise<void>((resolve) => {
      end.read = resolve;
    });
    const done = order.enter((before) => {
      void before.written.then(() => log.push(`${name} may send`));
      void before.quiet.then(() => log.push(`${name} may write`));
      return { written, read };
    });
    void done.then(() => log.push(`${name} done`));
    return end;
  };
  return { log, enter, flush: () => new Promise((resolve) => setImmediate(resolve)) };
}

describe('Order', () => {
  it('lets the next call send after earlier ones have written, and write after peers have read', async () => {
    const { log, enter, flush } = rig();
    const a = enter('a');
    enter('b');
    await flush();
    expect(log).toEqual(['a may send', 'a may write']);
    a.written();
    await flush();
    expect(log.slice(2)).toEqual(['b may send']);
    a.read();
    await flush();
    expect(log.slice(3).sort()).toEqual(['a done', 'b may write']);
  });

  it('completes in order, however the calls end', async () => {
    const { log, enter, flush } = rig();
    const ends = ['a', 'b', 'c'].map(enter);
    for (const end of ends.reverse()) {
      end.written();
      end.read();
      await flush();
    }
    expect(log.filter((line) => line.endsWith('done'))).toEqual(['a done', 'b done', 'c done']);
  });

  it('fails calls after a failure', async () => {
    const order = new Order();
    const failed = order.enter(() => ({ written: Promise.reject(new Error('no')), read: Promise.resolve() }));
    const next = order.enter((before) => ({ written: before.quiet, read: Promise.resolve() }));
    await expect(failed).rejects.toThrow('no');
    await expect(next).rejects.toThrow('no');
  });
});
