import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';

/** How a rank failed. */
export interface RankFailure {
  readonly rank: number;
  /** What it reported, or what its supervisor says of a rank that died without a word. */
  readonly error: CheckpointEngineError;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** The process ended before it reported anything, and nobody had told it to end. */
  readonly died: boolean;
}

/** What ranks report when another one's failure reaches them. */
const CONSEQUENCES: ReadonlySet<ErrorCode> = new Set(['CE_REMOTE_FAILED', 'CE_RANK_LOST', 'CE_ABORTED', 'CE_CLOSED']);

/**
 * The failure that took the world down: a rank that died comes first, since the others can only have seen it die; then
 * what arose at a rank itself; then what it was told. Among equals the earliest.
 */
export function firstFailure(failures: readonly RankFailure[]): RankFailure | undefined {
  const order = (failure: RankFailure): number => (failure.died ? 0 : CONSEQUENCES.has(failure.error.code) ? 2 : 1);
  return [...failures].sort((a, b) => order(a) - order(b) || a.atMs - b.atMs || a.rank - b.rank)[0];
}

/** What a supervisor says of a rank that ended without a word. */
export function deathError(
  rank: number,
  { code, signal, lastLines }: { code: number | null; signal: string | null; lastLines: readonly string[] },
): CheckpointEngineError {
  const how = signal ? `was killed by ${signal}` : `ended with exit status ${code}`;
  const hint =
    signal === 'SIGKILL'
      ? 'Look in the kernel log (dmesg) for the out-of-memory killer, give the ranks more memory, and run it again'
      : 'Read its last words here, and run it again with --log-level debug if they do not say why';
  return new CheckpointEngineError('CE_RANK_LOST', `Rank ${rank} ${how}`, hint, {
    rank,
    peer: rank,
    detail: lastLines.join('\n') || undefined,
  });
}
