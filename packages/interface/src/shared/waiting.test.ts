import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Cleanup } from './cleanup.ts';
import { settlesWithin } from './settles-within.ts';
import { untilAborted } from './until-aborted.ts';

const never = new Promise<never>(() => {});

describe('untilAborted', () => {
  it('settles like the promise, and leaves no listener', async () => {
    const { signal } = new AbortController();
    expect(await untilAborted(Promise.resolve(7), signal)).toBe(7);
    await expect(untilAborted(Promise.reject(new Error('own')), signal)).rejects.toThrow('own');
    expect(await untilAborted(Promise.resolve(8), undefined)).toBe(8);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('rejects with the reason of a signal that fires, or has fired already', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(never, controller.signal);
    controller.abort(new Error('stop'));
    await expect(waiting).rejects.toThrow('stop');
    await expect(untilAborted(never, controller.signal)).rejects.toThrow('stop');
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});

describe('settlesWithin', () => {
  it('returns whether a promise resolves or rejects in time', async () => {
    expect(await settlesWithin(Promise.resolve(), 10_000)).toBe(true);
    expect(await settlesWithin(Promise.reject(new Error('own')), 10_000)).toBe(true);
    expect(await settlesWithin(never, 1)).toBe(false);
  });
});

describe('Cleanup', () => {
  it('runs every step once, the last one first, and throws the first failure', async () => {
    const ran: string[] = [];
    const cleanup = new Cleanup();
    cleanup.use({ close: () => ran.push('closed') });
    cleanup.defer(() => Promise.reject(new Error('first')));
    cleanup.defer(() => ran.push('last'));
    await expect(cleanup.run()).rejects.toThrow('first');
    await cleanup.run();
    expect(ran).toEqual(['last', 'closed']);
  });
});
