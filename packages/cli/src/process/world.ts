import type { UpdateJob } from '../config/jobs.ts';
import type { RankReport } from '../rank/rank-report.ts';
import type { RankDevice } from './messages.ts';

/** Ranks that are ready to update: processes that this one supervises, or this process itself. */
export interface World {
  /** Devices of the ranks that this process knows. */
  readonly devices: readonly RankDevice[];
  /** Brings a checkpoint into the engines. Gives the reports of the ranks that this process knows. */
  update(update: UpdateJob): Promise<readonly RankReport[]>;
  /** Gives everything back. Idempotent. */
  close(): Promise<void>;
}
