import { describe, expect, it } from 'vitest';
import { Deferred } from '../util/deferred.ts';
import { RunningSteps } from './running-steps.ts';

describe('RunningSteps', () => {
  it('ends all waits with the first failure, and reports it once', async () => {
    const told: unknown[] = [];
    const steps = new RunningSteps(new AbortController().signal, (error) => told.push(error));
    const [first, second] = [new Error('first'), new Error('second')];
    const loop = steps.wait(new Promise(() => {}));
    steps.track(Promise.reject(first)).catch(() => {});
    steps.track(Promise.reject(second)).catch(() => {});
    await expect(steps.finish([loop])).rejects.toBe(first);
    expect(told).toEqual([first]);
  });

  it('throws when the last step has ended', async () => {
    const steps = new RunningSteps(new AbortController().signal, () => {});
    const slow = new Deferred();
    let hasEnded = false;
    void steps.track(
      slow.promise.then(() => {
        hasEnded = true;
      }),
    );
    const finished = steps.finish([Promise.reject(new Error('a loop failed'))]).then(
      () => undefined,
      () => hasEnded,
    );
    await new Promise(setImmediate);
    slow.follow(undefined);
    expect(await finished).toBe(true);
  });

  it('fails when the signal fires, or has fired, and leaves no listener after the end', async () => {
    const controller = new AbortController();
    const cause = new Error('stop');
    const told: unknown[] = [];
    const ended = new RunningSteps(controller.signal, (error) => told.push(error));
    await ended.finish([]);
    const running = new RunningSteps(controller.signal, () => {});
    controller.abort(cause);
    await expect(running.finish([running.wait(new Promise(() => {}))])).rejects.toMatchObject({
      code: 'CE_ABORTED',
      cause,
    });
    await expect(new RunningSteps(controller.signal, () => {}).finish([])).rejects.toMatchObject({
      code: 'CE_ABORTED',
      cause,
    });
    expect(told).toEqual([]);
  });
});
