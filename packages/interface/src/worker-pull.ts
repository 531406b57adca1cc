import type { ServerDigest, ServerProve, ServerReport } from './server-pull-messages.ts';

/**
 * The pull extension of worker protocol 2: a worker reports which bytes of which tensors it keeps, and copies exactly
 * those from host memory that the parameter server shares. Nothing passes through a bucket, except the tensors that
 * the engine's own loader needs as a whole.
 *
 * ```
 * server                                       worker
 *                                           <- hello      with `pull`: the worker offers the extension
 * survey    which checkpoint             ->
 *                                           <- surveyed   whether the worker knows these metas
 * metas     in parts, if it does not     ->
 *                                           <- needs      in parts
 * regions   memory to map, in parts      ->
 *                                           <- mapped     the copy table is ready, or the worker needs the places
 * welcome, ready, bucket, ack, release, released          if buckets follow, as without the extension
 * pull      these bytes are available    ->
 *                                           <- pulled     the parameters hold them
 * finish                                 ->
 *                                           <- finished
 * prove     compare the held bytes       ->
 *                                           <- proved
 * digest    asks for digests             ->
 *                                           <- digested
 * confirm   as without the extension     ->
 *                                           <- confirmed
 * bye                                    ->
 * ```
 *
 * An update with whole buckets leaves out `regions` and `pull`. A session with the intent `prepare` ends with `bye`
 * after `mapped`, or after `proved`. A session with the intent `verify` has `survey`, `needs`, `digest` and `bye`: the
 * worker keeps its weights, its records and its mapped regions. It reports an error if it has no proved record of
 * these tensors: `CE_NOT_SUPPORTED`, or `CE_ENGINE_MISMATCH` after `metas` that name other tensors. A session that only
 * asks for a report has `report`, `reported` and `bye`; a worker that was asked to connect for a report alone offers
 * nothing else in its hello. After `abort` the worker answers `aborted` once no copy reads a region any more, and
 * disconnects.
 */
export const WORKER_PULL_VERSION = 1;

/** Maximum bytes of the columns of one part, so that a frame stays within its limit. */
export const PULL_PART_LIMITS: {
  /** `metas` and `regions`. */
  readonly fromServerBytes: number;
  /** `needs`. */
  readonly fromWorkerBytes: number;
  /** Maximum number of parts of one message. */
  readonly parts: number;
  /** Maximum number of windows of one `digest`. */
  readonly windows: number;
} = { fromServerBytes: 8 * 1024 * 1024, fromWorkerBytes: 512 * 1024, parts: 512, windows: 32_768 };

/** In `hello`: the worker supports the pull extension. */
export interface PullOffer {
  readonly version: number;
  /** Whether the worker can also compare in parts, see {@link ServerProve}. @default false */
  readonly provesParts?: boolean | undefined;
  /** Whether the worker answers {@link ServerReport}. @default false */
  readonly reports?: boolean | undefined;
  /** Whether the worker also answers {@link ServerDigest}. @default false */
  readonly digests?: boolean | undefined;
}
