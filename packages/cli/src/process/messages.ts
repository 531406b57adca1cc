import type { SerializedError } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { UpdateJob, WorldJob } from '../config/jobs.ts';
import type { RankReport } from '../rank/rank-report.ts';

/**
 * What a supervisor writes to a rank's standard input, one JSON object a line. The end of the input without `close` says
 * that the supervisor is gone: the rank aborts and ends.
 */
export type ToRank =
  | { readonly type: 'open'; readonly world: WorldJob }
  | { readonly type: 'update'; readonly update: UpdateJob }
  | { readonly type: 'abort'; readonly error: SerializedError }
  | { readonly type: 'close' };

/** What a rank writes to its standard output, one JSON object a line. Its log goes to standard error. */
export type FromRank =
  | { readonly type: 'events'; readonly events: readonly ProgressEvent[] }
  | { readonly type: 'opened'; readonly device: RankDevice }
  | { readonly type: 'updated'; readonly report: RankReport }
  /** The rank cannot go on: it gives back what it holds and ends. */
  | { readonly type: 'failed'; readonly error: SerializedError; readonly atMs: number };

/** The device that a rank runs on. */
export interface RankDevice {
  readonly kind: 'cuda' | 'host';
  readonly uuid: string;
  readonly name: string;
}
