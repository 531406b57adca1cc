import type { RegisteredCheckpoint, UpdateResult } from '@checkpoint-engine/ps';

/** What one rank did for an update. Plain data. */
export interface RankReport {
  readonly rank: number;
  readonly registered: RegisteredCheckpoint;
  readonly gatherMs: number;
  readonly update: UpdateResult;
}
