import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import { isRepeatedFailure } from '@checkpoint-engine/interface/shared';

/** The failure of one rank. */
export interface RankFailure {
  readonly rank: number;
  /** The error that the rank reported, or its supervisor's error if the rank died without a report. */
  readonly error: CheckpointEngineError;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** Whether the process ended without a report and without a request to end. */
  readonly died: boolean;
}

/** The errors that ranks report when another rank has failed. */
const CONSEQUENCES: ReadonlySet<ErrorCode> = new Set(['CE_REMOTE_FAILED', 'CE_RANK_LOST', 'CE_ABORTED', 'CE_CLOSED']);

/**
 * Returns the failure that ended the world. A rank that died comes first, because the other failures can be its
 * consequences; then bytes that differ, which are never a consequence; then another failure at a rank itself; then one
 * that repeats the failure of another rank. Among equals, the earliest counts.
 */
export function firstFailure(failures: readonly RankFailure[]): RankFailure | undefined {
  const order = ({ died, error }: RankFailure): number => {
    if (died) return 0;
    if (error.code === 'CE_DIGEST_MISMATCH') return 1;
    return CONSEQUENCES.has(error.code) || isRepeatedFailure(error) ? 3 : 2;
  };
  return [...failures].sort((a, b) => order(a) - order(b) || a.atMs - b.atMs || a.rank - b.rank)[0];
}

/** The error of a rank that ended without a report. */
export function deathError(
  rank: number,
  { code, signal, lastLines }: { code: number | null; signal: string | null; lastLines: readonly string[] },
): CheckpointEngineError {
  const how = signal ? `was killed by ${signal}` : `ended with exit status ${code}`;
  const hint =
    signal === 'SIGKILL'
      ? 'Check the kernel log (dmesg) for the out-of-memory killer, give the ranks more memory, and run it again'
      : 'Read the last lines of its log here, and run it again with --log-level debug if they do not show the reason';
  return new CheckpointEngineError('CE_RANK_LOST', `Rank ${rank} ${how}`, hint, {
    rank,
    peer: rank,
    detail: lastLines.join('\n') || undefined,
  });
}
