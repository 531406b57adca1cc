import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import type { WorkerSession } from '../session.ts';
import { exchange } from '../util/exchange.ts';
import { followSignals } from '../util/follow-signals.ts';

/** What {@link nextPass} goes by. */
export interface PassEnd {
  /** The pass that is over, 0 and up. */
  readonly pass: number;
  /** Absent on ranks without a worker that receives, and of no use where the protocol cannot reopen one. */
  readonly session: WorkerSession | undefined;
  /** Resolves when the engine is done; at once on ranks that have not asked one. */
  readonly request: Promise<void>;
  /** Whether this rank asked the engine of its group. */
  readonly isHead: boolean;
  /** The update's. */
  readonly epoch: Store;
  readonly waiting: WaitOptions & { readonly signal: AbortSignal };
}

/**
 * Opens the workers' addresses once more and finds out whether the engine loads again through them, or is done. The
 * ranks that asked an engine see which comes first: its answer, or its worker. When one engine loads again, all do:
 * buckets pass through all ranks.
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

/** Whether the worker comes before the engine answers. */
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
