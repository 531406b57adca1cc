import { type CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import { firstFailure, type RankFailure } from './first-failure.ts';
import type { CallOutcome, SentCall } from './supervised-rank.ts';

/** Time for ranks to learn of a failure from each other before this process notifies them. */
const FOLLOW_MS = 1_000;

/** The failure of a call to several ranks. */
export interface CallFailure {
  readonly failure: CheckpointEngineError;
  /** The failures of single ranks; empty if the caller's signal ended the call. */
  readonly failures: readonly RankFailure[];
  /** Indexes of the calls that had not ended when the wait for them ended. */
  readonly hanging: readonly number[];
}

/** The result of a call to several ranks. */
export type JointOutcome<Value> =
  | { readonly values: Value[]; readonly failed?: undefined }
  | { readonly values?: undefined; readonly failed: CallFailure };

/**
 * Waits for one call to several ranks. If one of them fails, the others learn of it from each other or, after one
 * second, from this process. If the signal fires, this process aborts all calls at once.
 *
 * @param settleMs Time for ranks to end after an abort.
 */
export async function joinCalls<Value>(
  calls: readonly SentCall<Value>[],
  { signal, settleMs }: { readonly signal?: AbortSignal | undefined; readonly settleMs: number | (() => number) },
): Promise<JointOutcome<Value>> {
  const failures: RankFailure[] = [];
  const hanging = new Set(calls.keys());
  let onFailure!: () => void;
  const failed = new Promise<void>((resolve) => {
    onFailure = resolve;
  });
  const outcomes = Promise.all(
    calls.map(async ({ outcome }, index): Promise<CallOutcome<Value>> => {
      const result = await outcome;
      hanging.delete(index);
      if (result.failure) {
        failures.push(result.failure);
        onFailure();
      }
      return result;
    }),
  );
  signal?.addEventListener('abort', onFailure, { once: true });
  if (signal?.aborted) onFailure();
  try {
    await Promise.race([outcomes, failed]);
    if (failures.length === 0 && !signal?.aborted)
      return { values: (await outcomes).map(({ value }) => value as Value) };
    const reason = (): CheckpointEngineError =>
      signal?.aborted ? toCheckpointEngineError(signal.reason) : firstFailure(failures)!.error;
    // This process knows that a rank died before the rank's peers notice.
    const atOnce = signal?.aborted === true || failures.some(({ died }) => died);
    if (!(await settlesWithin(outcomes, atOnce ? 0 : FOLLOW_MS))) {
      for (const index of hanging) calls[index]!.abort(reason());
    }
    await settlesWithin(outcomes, typeof settleMs === 'number' ? settleMs : settleMs());
    return { failed: { failure: reason(), failures, hanging: [...hanging] } };
  } finally {
    signal?.removeEventListener('abort', onFailure);
  }
}
