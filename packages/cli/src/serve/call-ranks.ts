import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { joinCalls } from '../process/join-calls.ts';
import type { CallName, CallRequest, CallResult } from '../process/messages.ts';
import { TimeLimit } from '../process/time-limit.ts';
import type { CallOptions } from '../process/world.ts';
import type { RankSlot } from './rank-slot.ts';

/** Calls ranks of one world; see {@link callRanks}. */
export type AskRanks = <Name extends CallName>(
  slots: readonly RankSlot[],
  name: Name,
  request: CallRequest<Name>,
  timeoutMs: number,
  options?: CallOptions,
) => Promise<CallResult<Name>[]>;

/** One call to ranks. */
export interface RankCall<Name extends CallName> extends CallOptions {
  readonly name: Name;
  readonly request: CallRequest<Name>;
  readonly timeoutMs: number;
}

/** The time-out of calls that move no weights. */
export const SHORT_CALL_MS = 60_000;
/** Time for ranks to abort a call before they are killed. */
const SETTLE_MS = 20_000;
/** The same after a time-out: with {@link GRACE_MS}, the answer comes within 10 s of the call's time-out. */
const LATE_SETTLE_MS = 8_000;
/** Time after a call's own time-out until the server aborts the call on the ranks. */
const GRACE_MS = 2_000;

/**
 * Makes the same call to several ranks. Ends within 10 s of the time-out: ranks that do not answer are killed and
 * restarted.
 *
 * @throws The first failure of any rank; `CE_TIMEOUT`; the signal's reason.
 */
export async function callRanks<Name extends CallName>(
  slots: readonly RankSlot[],
  { name, request, timeoutMs, signal, onEvent }: RankCall<Name>,
  logger: Logger,
): Promise<CallResult<Name>[]> {
  const latestMs = performance.now() + timeoutMs + GRACE_MS + LATE_SETTLE_MS;
  const limit = new TimeLimit(`The call "${name}"`, timeoutMs + GRACE_MS, 'Check the logs of the ranks');
  try {
    const stop = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal;
    const calls = slots.map((slot) => slot.call(name, request, onEvent));
    const settleMs = (): number => Math.max(0, Math.min(SETTLE_MS, latestMs - performance.now()));
    const { values, failed } = await joinCalls(calls, { signal: stop, settleMs });
    if (values) return values;
    const hanging = failed.hanging.map((index) => slots[index]!);
    for (const slot of hanging) {
      logger.error({ rank: slot.rank, call: name }, 'A rank did not abort a call and is ended');
      slot.kill();
    }
    const isLate = limit.signal.aborted && failed.failure.code === 'CE_TIMEOUT';
    throw isLate && hanging.length > 0 ? notAnswered(name, timeoutMs, hanging) : failed.failure;
  } finally {
    limit.stop();
  }
}

function notAnswered(call: string, timeoutMs: number, slots: readonly RankSlot[]): CheckpointEngineError {
  const ranks = slots.map(({ rank }) => rank);
  const who = ranks.length === 1 ? `Rank ${ranks[0]}` : `Ranks ${ranks.join(', ')}`;
  const were = ranks.length === 1 ? 'was' : 'were';
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `${who} did not answer the call "${call}" within ${timeoutMs} ms and ${were} ended`,
    'Check the log; ranks are restarted, and checkpoints whose files still exist are registered again',
    { rank: ranks[0], peer: ranks[0], op: call, retryable: true },
  );
}
