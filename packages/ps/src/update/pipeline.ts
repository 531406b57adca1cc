import type { BroadcastGroup, MemoryRange, SharedMemory } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import type { Bucket } from '@checkpoint-engine/planner';
import type { ProgressEvent, Stage } from '../progress-event.ts';
import type { BucketMessage, WorkerSession } from '../session.ts';
import { type BucketSource, loadStageOf } from '../sources/bucket-source.ts';
import type { Ring } from '../sources/ring.ts';
import { Deferred } from '../util/deferred.ts';
import { RunningSteps } from './running-steps.ts';
import type { BucketTransfer } from './transfers.ts';

/** The resources of one rank to move all buckets to its worker. */
export interface PipelineJob {
  /** The same list on every rank. */
  readonly transfers: readonly BucketTransfer[];
  readonly rank: number;
  readonly source: BucketSource;
  /** Memory that the worker reads; all buckets pass through it. */
  readonly ring: Ring<SharedMemory>;
  /** Whether all members of the group share one ring, which each bucket's root loads once for all of them. */
  readonly sharesRing: boolean;
  /** The memory in which own buckets wait for their broadcast. Without it they are loaded directly into the ring. */
  readonly staging: Ring | undefined;
  /** Absent with one rank. */
  readonly group: BroadcastGroup | undefined;
  /** Broadcasts that may be pending on the group. */
  readonly maxPendingBroadcasts: number;
  /** Absent if this rank only sends: arriving buckets are discarded. */
  readonly session: WorkerSession | undefined;
  /** Resolves when the worker has opened the ring; loading and broadcasting start before. */
  readonly opened: Promise<void>;
  /**
   * Compares a bucket that has arrived with the registered bytes. The worker takes the bucket after `onRead`, while the
   * comparison continues. @default no comparison
   */
  readonly check?: ((transfer: BucketTransfer, range: MemoryRange, onRead: () => void) => Promise<void>) | undefined;
  /** Describes a bucket at this offset of the ring to the worker. */
  readonly describe: (transfer: BucketTransfer, offsetBytes: number) => BucketMessage;
  /** Ends the pipeline, which rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called immediately with the first failure, so that the caller can notify the others. */
  readonly onFailure: (error: unknown) => void;
  readonly emit: (event: ProgressEvent) => void;
}

/** The steps of one bucket; each follows the previous one. */
interface Steps {
  /** Root only: the bytes are in staging (or in the ring). */
  readonly loaded: Deferred;
  /** The bytes are in this rank's ring, and staging may be overwritten. */
  readonly arrived: Deferred;
  /** The bytes in the ring have been compared with the registered ones, or copied to be compared. */
  readonly read: Deferred;
  /** The worker has loaded the bytes, and their place in the ring may be overwritten. */
  readonly taken: Deferred;
}

/**
 * Moves every bucket from its owner to this rank's worker, in three stages that run at the same time: while bucket k
 * reloads, k+1 is broadcast and k+2 is copied to the device. With a ring for one bucket the stages run one after
 * another.
 *
 * The stages are three loops over the same list. A loop starts a step when the previous step is done and the memory
 * that it writes to is free; the steps themselves run on the device's streams, in the transport and in the worker.
 *
 * Resolves when the worker has loaded the last bucket and all comparisons have ended. Rejects with the first failure, once no step uses the ring or
 * staging any more.
 */
export async function runPipeline(job: PipelineJob): Promise<void> {
  const steps: Steps[] = job.transfers.map(() => ({
    loaded: new Deferred(),
    arrived: new Deferred(),
    read: new Deferred(),
    taken: new Deferred(),
  }));
  const running = new RunningSteps(job.signal, job.onFailure);
  const { wait } = running;
  const run: Run = (stage, bucket, work) => {
    const event = { rank: job.rank, stage, bucket: bucket.index, sizeBytes: bucket.sizeBytes };
    job.emit({ type: 'bucket-start', ...event, atMs: nowMs() });
    return running.track(work.then(() => job.emit({ type: 'bucket-end', ...event, atMs: nowMs() })));
  };
  for (const [index, transfer] of job.transfers.entries()) {
    const { arrived, read } = steps[index]!;
    if (job.check === undefined) {
      read.follow(arrived.promise);
      continue;
    }
    const { check } = job;
    const compare = async (): Promise<void> => {
      await wait(arrived.promise);
      await check(transfer, job.ring.range(index), () => read.follow(undefined));
    };
    const comparing = running.track(compare());
    comparing.then(
      () => read.follow(undefined),
      () => read.follow(comparing),
    );
  }
  await running.finish([
    loadOwn(job, steps, wait, run),
    broadcastAll(job, steps, wait, run),
    reloadAll(job, steps, wait, run),
  ]);
}

type Wait = RunningSteps['wait'];
type Run = (stage: Stage, bucket: Bucket, work: Promise<void>) => Promise<void>;

/** Waits for one step of all buckets up to an index. Called with ascending indices. */
function passing(steps: readonly Promise<void>[], wait: Wait): (index: number) => Promise<void> {
  let next = 0;
  return async (index) => {
    while (next <= index) await wait(steps[next++]!);
  };
}

const takenOf = (steps: readonly Steps[]): Promise<void>[] => steps.map(({ taken }) => taken.promise);

/** Stage 1: copies this rank's own buckets from host to device as soon as there is space. */
async function loadOwn(job: PipelineJob, steps: readonly Steps[], wait: Wait, run: Run): Promise<void> {
  const { transfers, staging, ring } = job;
  if (job.sharesRing) return; // Only the broadcast knows when the ring is free at all members.
  const own = transfers.flatMap(({ readerRank }, index) => (readerRank === job.rank ? [index] : []));
  const taken = passing(takenOf(steps), wait);
  const sent = passing(
    own.map((index) => steps[index]!.arrived.promise),
    wait,
  );
  for (const [turn, index] of own.entries()) {
    const { bucket } = transfers[index]!;
    if (staging === undefined) await taken(ring.after(index));
    else await sent(staging.after(turn));
    const target = staging?.range(turn) ?? ring.range(index);
    const { loaded } = steps[index]!;
    if (bucket.sizeBytes > 0) {
      await wait(job.source.ready(bucket));
      loaded.follow(run(loadStageOf(job.source, bucket), bucket, job.source.load(bucket, target)));
    } else {
      loaded.follow(Promise.resolve());
    }
  }
}

/** Stage 2: broadcasts every bucket from its root into all rings, in the same order on all ranks. */
async function broadcastAll(job: PipelineJob, steps: readonly Steps[], wait: Wait, run: Run): Promise<void> {
  const { transfers, ring, staging, group } = job;
  const taken = passing(takenOf(steps), wait);
  let ownTurn = 0;
  for (const [index, { bucket, readerRank }] of transfers.entries()) {
    const { loaded, arrived } = steps[index]!;
    const isRoot = readerRank === job.rank;
    await taken(ring.after(index));
    if (isRoot && !job.sharesRing) await wait(loaded.promise);
    const source = isRoot ? staging?.range(ownTurn++) : undefined;
    if (group === undefined || bucket.sizeBytes === 0) {
      arrived.follow(isRoot && !job.sharesRing ? loaded.promise : Promise.resolve());
      continue;
    }
    const oldest = index - job.maxPendingBroadcasts;
    if (oldest >= 0) await wait(steps[oldest]!.arrived.promise);
    const target = ring.range(index);
    if (!job.sharesRing) {
      arrived.follow(run('broadcast', bucket, group.broadcast(readerRank, { target, source })));
      continue;
    }
    const fill = async (): Promise<void> => {
      await wait(job.source.ready(bucket));
      loaded.follow(run(loadStageOf(job.source, bucket), bucket, job.source.load(bucket, target)));
      await loaded.promise;
    };
    arrived.follow(
      run('broadcast', bucket, group.broadcastShared(readerRank, { target, fill: isRoot ? fill : undefined })),
    );
  }
}

/** Stage 3: the worker loads every bucket from the ring. */
async function reloadAll(job: PipelineJob, steps: readonly Steps[], wait: Wait, run: Run): Promise<void> {
  const { transfers, ring, session, signal } = job;
  if (session === undefined) {
    for (const { read, taken } of steps) taken.follow(read.promise);
    for (const { taken } of steps) await wait(taken.promise);
    return;
  }
  await wait(job.opened);
  for (const [index, transfer] of transfers.entries()) {
    const { bucket } = transfer;
    const message = job.describe(transfer, ring.range(index).offsetBytes);
    const { read, taken } = steps[index]!;
    await wait(read.promise);
    const oldest = index - session.maxPending;
    if (oldest >= 0) await wait(steps[oldest]!.taken.promise);
    taken.follow(run('reload', bucket, session.reload(message, { signal })));
  }
  for (const { taken } of steps.slice(-session.maxPending)) await wait(taken.promise);
}
