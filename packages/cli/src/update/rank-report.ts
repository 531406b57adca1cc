import type { RegisteredCheckpoint, UpdateResult } from '@checkpoint-engine/ps';

/** The report of one rank about an update. Plain data. */
export interface RankReport {
  readonly rank: number;
  /** Absent if others hold the weights. */
  readonly registered?: RegisteredCheckpoint | undefined;
  /** The duration of gathering or loading the metas. */
  readonly metasMs: number;
  readonly update: UpdateResult;
}
