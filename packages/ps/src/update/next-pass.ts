import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { followSignals } from '@checkpoint-engine/interface/shared';
import type { WorkerSession } from '../session.ts';
import { exchange } from '../util/exchange.ts';

/** The inputs of {@link nextPass}. */
export interface PassEnd {
  /** The pass that has ended, from 0. */
  readonly pass: number;
  /** Absent on ranks without a worker that receives. Not used if the protocol cannot reopen a session. */
  readonly session: WorkerSession | undefined;
  /** Resolves when the engine is done; at once on ranks that sent no request. */
  readonly request: Promise<void>;
  /** Whether this rank sent the request to the engine of its group. */
  readonly isHead: boolean;
  /** The signal of the update. */
  readonly epoch: Store;
  readonly waiting: WaitOptions & { readonly signal: AbortSignal };
}

/**
 * Opens the workers' addresses once more, and determines whether the engine loads again through them or is done. The
 * ranks that sent a request see which comes first: the engine's answer, or its worker. If one engine loads again, all
 * do, because buckets pass through all ranks.
 */
export async function nextPass({ pass, session, request, isHead, epoch, waiting }: PassEnd): Promise<boolean> {
  await session?.reopen?.();
  const votes = await exchange(
    epoch,
    `pass-${pass}`,
    async () => Uint8Array.of(Number(isHead && (await isCalledFirst(session, request, waiting.signal)))),
    waiting,
  );
  return votes.some(([isCalled]) => isCalled === 1);
}

/** Whether the worker connects before the engine answers. */
async function isCalledFirst(
  session: WorkerSession | undefined,
  request: Promise<void>,
  signal: AbortSignal,
): Promise<boolean> {
  if (session?.untilCalled === undefined) return false;
  const answered = new AbortController();
  const unfollow = followSignals(answered, [signal]);
  const called = session.untilCalled({ signal: answered.signal }).then(() => true);
  try {
    return await Promise.race([called, request.then(() => false)]);
  } finally {
    unfollow();
    answered.abort();
    await called.catch(() => {});
  }
}
