import type { Store } from '@checkpoint-engine/interface';
import type { ProgressEvent, UpdateOptions, UpdateResult } from '../server/api.ts';
import type { WorkerSession } from '../session.ts';
import { Cleanup } from '../util/cleanup.ts';
import { untilAborted } from '../util/until-aborted.ts';
import { agree } from './agreement.ts';
import type { SourceOptions } from './bucket-source.ts';
import { describeBuckets } from './describe-buckets.ts';
import { gatherHandles } from './handles.ts';
import { nextPass } from './next-pass.ts';
import { openSession } from './open-session.ts';
import { orderStages } from './order-stages.ts';
import { runPipeline } from './pipeline.ts';
import { propose } from './propose.ts';
import { sizeUpdate } from './size-update.ts';
import { Stopwatch } from './stopwatch.ts';
import { takeRing, takeStaging } from './take-memory.ts';
import type { UpdateContext } from './update-context.ts';
import { UpdateLifetime } from './update-lifetime.ts';
import { emitPlan, summarise } from './update-report.ts';

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
  const cleanup = new Cleanup();
  const life = new UpdateLifetime({
    checkpoint,
    rank,
    timeoutMs,
    signals: [options.signal, store.signal],
    cleanup,
  });
  const { signal, fail } = life;
  const waiting = { signal, timeoutMs };
  let epoch: Store | undefined;
  let session: WorkerSession | undefined;
  signal.addEventListener('abort', () => link.abort(life.failure), { once: true });

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
    life.follow(epoch);
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
    const sourceOptions: SourceOptions = {
      metas: context.metas.find((metas) => metas.rank === rank)!,
      buckets: ownBuckets,
      alignBytes: plan.alignBytes,
      stream: cleanup.use(device.createStream('h2d')),
      signal,
      emit,
      logger: context.logger,
    };
    let source = cleanup.use(await context.held.openSource(sourceOptions));
    const group = agreement.members.length > 1 ? await link.group(agreement, waiting) : undefined;

    watch.enter('handshake');
    const ring = await takeRing(device, plan, sizing, cleanup);
    const staging = await takeStaging(device, ownBuckets, sizing, cleanup);
    const inference = await gatherHandles(
      epoch,
      device.uuid,
      async () => {
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
    const transfers = plan.buckets.map((bucket) => ({ bucket, root: bucket.ownerRank }));
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
    const mayRepeat = options.passes === 'any' && session!.reopen !== undefined;
    let isAgain = false;
    for (let pass = 0; pass === 0 || isAgain; pass++) {
      const opened = session!.open(ring.memory, { signal }).then(() => watch.enter('stream'));
      opened.catch(fail);
      if (isAgain) {
        await source.close();
        source = cleanup.use(await context.held.openSource(sourceOptions));
      }
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
        describe: describeBuckets(context.metas, plan),
        signal,
        onFailure: fail,
        emit: (event) => {
          if (pass === 0) order.observe?.(event);
          emit(event);
        },
      });
      watch.enter('release');
      await session!.finish({ signal, onPhase: (phase) => phase === 'released' && watch.enter('hook') });
      isAgain =
        mayRepeat && (await nextPass({ pass, session: session!, request, isHead: inference.isHead, epoch, waiting }));
    }

    await untilAborted(request, signal);
    await epoch.barrier('done', waiting);
    if (options.releaseCommunicators === true) await leaveGroup(context);
    watch.enter('done');
    return summarise(context, agreement, plan, sizing, watch);
  } catch (error) {
    fail(error);
    const { failure } = life;
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
