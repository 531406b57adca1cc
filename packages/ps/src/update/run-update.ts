import {
  CheckpointEngineError,
  type Device,
  type Logger,
  type SharedMemory,
  type Store,
} from '@checkpoint-engine/interface';
import { type Bucket, type BucketSizing, bucketLayout, type Plan } from '@checkpoint-engine/planner';
import type { HeldCheckpoint } from '../pool/held-checkpoint.ts';
import type { ProgressEvent, UpdateOptions, UpdateResult, WorldMetas } from '../server/api.ts';
import type { BucketMessage, WorkerProtocol, WorkerSession } from '../session.ts';
import { atRank } from '../util/at-rank.ts';
import { Cleanup } from '../util/cleanup.ts';
import { followSignals } from '../util/follow-signals.ts';
import { type Agreement, agree } from './agreement.ts';
import type { BroadcastLink } from './broadcast-link.ts';
import { gatherHandles, sharesDevice } from './handles.ts';
import { orderStages } from './order-stages.ts';
import { runPipeline } from './pipeline.ts';
import type { PlanCache } from './plan-cache.ts';
import { Ring } from './ring.ts';
import { sizeUpdate } from './size-update.ts';
import { Stopwatch } from './stopwatch.ts';

/** What one update is made from. */
export interface UpdateContext {
  readonly checkpoint: string;
  readonly metas: WorldMetas;
  readonly metasDigest: string;
  readonly held: HeldCheckpoint;
  readonly device: Device;
  readonly store: Store;
  readonly link: BroadcastLink;
  /** How workers are spoken to, where the caller of this update does not say. */
  readonly protocol: WorkerProtocol;
  readonly plans: PlanCache;
  readonly host: string;
  readonly memFraction: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly logger: Logger;
  /** Updates that this rank has seen. */
  readonly counter: number;
  /** Called as soon as the ranks agreed on the update's number. */
  readonly onCounter: (counter: number) => void;
}

const DEFAULT_TIMEOUT_MS = 300_000;

/**
 * Brings a registered checkpoint into the inference engine. Called on all ranks; resolves on all of them when every
 * worker has run its post-load hook.
 *
 * When it rejects, every rank rejects, every worker and the engine were told, and what the update took is given back.
 */
export async function runUpdate(context: UpdateContext, options: UpdateOptions): Promise<UpdateResult> {
  const { store, device, link, checkpoint } = context;
  const protocol = options.protocol ?? context.protocol;
  const { rank } = store;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const emit = (event: ProgressEvent): void => options.onEvent?.(event);
  const watch = new Stopwatch(rank, emit);
  const controller = new AbortController();
  const { signal } = controller;
  const cleanup = new Cleanup();
  const timer = setTimeout(() => controller.abort(timedOut(checkpoint, timeoutMs, rank)), timeoutMs);
  cleanup.defer(() => clearTimeout(timer));
  cleanup.defer(followSignals(controller, [options.signal, store.signal]));
  const waiting = { signal, timeoutMs };
  let epoch: Store | undefined;
  let session: WorkerSession | undefined;
  const fail = (error: unknown): void => {
    if (signal.aborted) return;
    const failure = atRank(error, rank);
    controller.abort(failure);
    link.abort(failure);
  };
  // What aborts from outside ends the broadcasts too.
  signal.addEventListener('abort', () => link.abort(atRank(signal.reason, rank)), { once: true });

  try {
    watch.enter('plan');
    const agreement = await agree(
      store,
      checkpoint,
      () => {
        for (const { tensors } of context.metas) protocol.check?.(tensors);
        return propose(context, options);
      },
      waiting,
    );
    context.onCounter(agreement.counter);
    epoch = cleanup.use(store.epoch(`update:${agreement.counter}`));
    cleanup.defer(followSignals(controller, [epoch.signal]));
    const sizing = sizeUpdate(context.metas, device.kind, {
      freeBytes: agreement.freeBytes,
      memberCount: agreement.members.length,
      bucketBytes: options.bucketBytes,
      maxBucketBytes: context.maxBucketBytes,
      deviceMemoryBytes: options.deviceMemoryBytes,
      memFraction: context.memFraction,
    });
    if (sizing.grown) context.logger.warn({ rank, checkpoint }, sizing.reason);
    const plan = context.plans.get(context.metas, context.metasDigest, sizing);
    emitPlan(emit, rank, plan, sizing);
    const ownBuckets = plan.buckets.filter(({ ownerRank }) => ownerRank === rank);
    const source = cleanup.use(
      await context.held.openSource({
        metas: context.metas.find((metas) => metas.rank === rank)!,
        buckets: ownBuckets,
        alignBytes: plan.alignBytes,
        stream: cleanup.use(device.createStream('h2d')),
        signal,
        emit,
        logger: context.logger,
      }),
    );
    const group = agreement.members.length > 1 ? await link.group(agreement, waiting) : undefined;

    watch.enter('handshake');
    const memory: { ring?: Ring<SharedMemory>; staging?: Ring | undefined } = {};
    const inference = await gatherHandles(
      epoch,
      device.uuid,
      async () => {
        memory.ring = await takeRing(device, plan, sizing, cleanup);
        memory.staging = await takeStaging(device, ownBuckets, sizing, cleanup);
        session = cleanup.use(await openSession(context, protocol, agreement, sizing, timeoutMs));
        return session.address;
      },
      options.inferenceParallelSize ?? store.worldSize,
      waiting,
    );
    const request = inference.isHead
      ? options.requestEngine({
          handles: inference.handles,
          groupIndex: inference.index,
          timeoutMs,
          signal,
          weightVersion: options.weightVersion,
        })
      : Promise.resolve();
    request.catch(fail);
    const opened = session!.open(memory.ring!.memory, { signal }).then(() => watch.enter('stream'));
    opened.catch(fail);
    const transfers = plan.buckets.map((bucket) => ({ bucket, root: bucket.ownerRank }));
    const ring = memory.ring!;
    const { staging } = memory;
    const order = orderStages({
      stages: options.stages,
      agreement,
      transfers,
      rank,
      ring,
      staging,
      epoch,
      waiting,
      onMeasured: (stages) => {
        link.measuredStages = stages;
        context.logger.info({ rank, checkpoint, stages }, `${stages} stages move the buckets faster here`);
      },
    });
    await runPipeline({
      transfers,
      rank,
      source,
      ring,
      staging,
      order,
      group,
      maxPendingBroadcasts: Math.min(link.maxPending, sizing.ringSlots),
      session: session!,
      opened,
      describe: describer(context.metas, plan),
      signal,
      onFailure: fail,
      emit: (event) => {
        order.observe?.(event);
        emit(event);
      },
    });

    watch.enter('release');
    await session!.finish({ signal, onPhase: (phase) => phase === 'released' && watch.enter('hook') });
    await untilAborted(request, signal);
    await epoch.barrier('done', waiting);
    if (options.releaseCommunicators === true) await leaveGroup(context);
    watch.enter('done');
    return summarise(context, agreement, plan, sizing, watch);
  } catch (error) {
    fail(error);
    const failure = atRank(signal.reason, rank);
    await Promise.allSettled([epoch?.abort(failure), session?.fail(failure)]);
    await leaveGroup(context);
    throw failure;
  } finally {
    await cleanup.run().catch((cause) => context.logger.warn({ rank, cause }, 'Cleaning up after an update failed'));
  }
}

/** The next update makes a new one: that this one was not left in good order harms nothing. */
async function leaveGroup({ link, logger, store: { rank } }: UpdateContext): Promise<void> {
  await link.drop().catch((cause) => logger.warn({ rank, cause }, 'Leaving the broadcast group failed'));
}

function propose({ counter, link, metasDigest, device, host }: UpdateContext, options: UpdateOptions) {
  return {
    counter,
    groupGeneration: link.generation,
    hasGroup: link.isUsable,
    metasDigest,
    deviceUuid: device.uuid,
    host,
    freeBytes: device.memoryInfo().freeBytes,
    measuredStages: link.measuredStages,
    options: [
      options.bucketBytes ?? null,
      options.deviceMemoryBytes ?? null,
      options.inferenceParallelSize ?? null,
      options.stages === 'auto' ? 0 : (options.stages ?? 3),
      Number(options.releaseCommunicators ?? false),
    ],
  };
}

async function takeRing(device: Device, plan: Plan, { ringBytes }: BucketSizing, cleanup: Cleanup) {
  const memory = cleanup.use(await device.allocateShared(ringBytes));
  return new Ring(
    memory,
    plan.buckets.map(({ sizeBytes }) => sizeBytes),
  );
}

async function takeStaging(device: Device, own: readonly Bucket[], { stagingBytes }: BucketSizing, cleanup: Cleanup) {
  if (stagingBytes === 0) return undefined;
  const memory = cleanup.use(await device.allocate(stagingBytes));
  return new Ring(
    memory,
    own.map(({ sizeBytes }) => sizeBytes),
  );
}

function openSession(
  { store, device, checkpoint, logger }: UpdateContext,
  protocol: WorkerProtocol,
  { members, proposals, counter }: Agreement,
  { ringSlots }: BucketSizing,
  timeoutMs: number,
): Promise<WorkerSession> {
  return protocol.createSession({
    deviceUuid: device.uuid,
    updateId: `${checkpoint}:${counter}`,
    counter,
    rank: store.rank,
    rankInAddress: sharesDevice(members, proposals, store.rank),
    slots: ringSlots,
    checkpoint,
    timeoutMs,
    logger,
  });
}

/** Makes the messages for workers; their layout is worked out when a bucket's turn comes. */
function describer(metas: WorldMetas, plan: Plan): (bucket: Bucket, ringOffsetBytes: number) => BucketMessage {
  const byRank = new Map(metas.map((rankMetas) => [rankMetas.rank, rankMetas]));
  return (bucket, ringOffsetBytes) => {
    const { tensors } = bucketLayout(byRank.get(bucket.ownerRank)!, bucket, plan.alignBytes);
    return {
      index: bucket.index,
      tensors: tensors.map((tensor) => ({ ...tensor, offsetBytes: ringOffsetBytes + tensor.offsetBytes })),
    };
  };
}

/** Waits for a promise, but not longer than the update lives. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
  });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function emitPlan(emit: (event: ProgressEvent) => void, rank: number, plan: Plan, sizing: BucketSizing): void {
  const { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason } = sizing;
  emit({
    type: 'plan',
    rank,
    bucketBytes,
    bucketCount: plan.buckets.length,
    ringSlots,
    stagingSlots,
    deviceBytes,
    totalBytes: plan.totalBytes,
    reason,
    atMs: performance.timeOrigin + performance.now(),
  });
}

function summarise(
  { checkpoint }: UpdateContext,
  { counter }: Agreement,
  { totalBytes, tensorCount, buckets }: Plan,
  { bucketBytes, ringSlots, stagingSlots, deviceBytes, reason }: BucketSizing,
  { durationsMs }: Stopwatch,
): UpdateResult {
  return {
    checkpoint,
    counter,
    totalBytes,
    tensorCount,
    bucketCount: buckets.length,
    bucketBytes,
    ringSlots,
    stagingSlots,
    deviceBytes,
    reason,
    durationsMs,
  };
}

function timedOut(checkpoint: string, timeoutMs: number, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `The update of checkpoint "${checkpoint}" did not end within ${timeoutMs} ms`,
    'Look at the logs of the engine and of the slowest rank; raise the time-out if it was only slow',
    { rank, op: 'update', retryable: true },
  );
}
