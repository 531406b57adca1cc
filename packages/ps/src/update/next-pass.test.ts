import { setTimeout as sleep } from 'node:timers/promises';
import { localStore } from '@checkpoint-engine/store';
import { expect, it } from 'vitest';
import type { WorkerSession } from '../session.ts';
import { nextPass } from './next-pass.ts';

/** A session whose worker connects again after some time, or never. */
function session(calledAfterMs?: number): { session: WorkerSession; events: string[] } {
  const events: string[] = [];
  const fake = {
    reopen: async () => void events.push('reopened'),
    untilCalled: async ({ signal }: { signal: AbortSignal }) => {
      await sleep(calledAfterMs ?? 60_000, undefined, { signal });
      events.push('called');
    },
  };
  return { session: fake as unknown as WorkerSession, events };
}

function end(request: Promise<void>, calledAfterMs?: number, isHead = true) {
  const { session: worker, events } = session(calledAfterMs);
  const waiting = { signal: new AbortController().signal, timeoutMs: 5_000 };
  const epoch = localStore().epoch('update:1');
  return { events, again: nextPass({ pass: 0, session: worker, request, isHead, epoch, waiting }) };
}

it('ends when the engine answers', async () => {
  const { again, events } = end(sleep(5).then(() => {}));
  expect(await again).toBe(false);
  expect(events).toEqual(['reopened']);
});

it('continues when the worker connects first', async () => {
  const { again, events } = end(new Promise(() => {}), 5);
  expect(await again).toBe(true);
  expect(events).toEqual(['reopened', 'called']);
});

it('follows the rank that sent the request to the engine', async () => {
  expect(await end(Promise.resolve(), 0, false).again).toBe(false);
});

it('fails if the engine fails', async () => {
  await expect(end(sleep(5).then(() => Promise.reject(new Error('draft')))).again).rejects.toThrow('draft');
});
