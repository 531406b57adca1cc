import type { RegisteredCheckpoint, UpdateResult } from '@checkpoint-engine/ps';

/** What one rank did for an update. Plain data. */
export interface RankReport {
  readonly rank: number;
  /** Absent where others hold the weights. */
  readonly registered?: RegisteredCheckpoint | undefined;
  /** What gathering or loading the metas took. */
  readonly metasMs: number;
  readonly update: UpdateResult;
}
