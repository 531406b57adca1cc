import type { SharedMemory, Store } from '@checkpoint-engine/interface';
import type { ProgressEvent, UpdateOptions, UpdateResult } from '../server/api.ts';
import type { WorkerSession } from '../session.ts';
import { Cleanup } from '../util/cleanup.ts';
import { untilAborted } from '../util/until-aborted.ts';
import { agree } from './agreement.ts';
import type { BroadcastLink } from './broadcast-link.ts';
import { describeBuckets } from './describe-buckets.ts';
import { gatherHandles } from './handles.ts';
import { nextPass } from './next-pass.ts';
import { openSession } from './open-session.ts';
import { orderStages } from './order-stages.ts';
import { runPipeline } from './pipeline.ts';
import { planUpdate } from './plan-update.ts';
import { propose } from './propose.ts';
import { Ring } from './ring.ts';
import { assignRoles, type Roles } from './roles.ts';
import { openSources } from './sources.ts';
import { Stopwatch } from './stopwatch.ts';
import { takeStaging } from './take-staging.ts';
import type { UpdateContext } from './update-context.ts';
import { UpdateLifetime } from './update-lifetime.ts';
import { emitPlan, summarise } from './update-report.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/**
 * Brings a checkpoint into the inference engines of some ranks or of all. Called on all ranks; resolves on all of them
 * when every worker that receives has run its post-load hook.
 *
 * When it rejects, every rank rejects, every worker and the engine were told, and what the update took is given back.
 */
export async function runUpdate(context: UpdateContext, options: UpdateOptions): Promise<UpdateResult> {
  const { store, device, links, rings, checkpoint } = context;
  const protocol = options.protocol ?? context.protocol;
  const { rank } = store;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const emit = (event: ProgressEvent): void => options.onEvent?.(event);
  const watch = new Stopwatch(rank, emit);
  const cleanup = new Cleanup();
  let isDone = false;
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
  let link: BroadcastLink | undefined;
  signal.addEventListener('abort', () => link?.abort(life.failure), { once: true });

  const keepRing = (memory: SharedMemory, isOwn: boolean): SharedMemory => {
    cleanup.defer(() => rings.giveBack(memory, { isOwn, isSound: isDone }));
    return memory;
  };

  try {
    watch.enter('plan');
    rings.begin(kindOf(context, options));
    let roles!: Roles;
    const agreement = await agree(
      store,
      checkpoint,
      () => {
        roles = rolesOf(context, options);
        if (roles.group.includes(rank)) link = links.of(roles.group);
        for (const { tensors } of context.metas) protocol.check?.(tensors);
        return { proposal: propose(context, options, link), group: roles.group };
      },
      waiting,
    );
    context.onCounter(agreement.counter);
    links.generation = Math.max(links.generation, agreement.groupGeneration);
    epoch = cleanup.use(store.epoch(`update:${agreement.counter}`));
    life.follow(epoch);
    const planned = planUpdate(context, options, roles, agreement);
    const { plan, sizing, transfers, ownBuckets } = planned;
    const receives = roles.receivers.includes(rank);
    // Others are read from, if they hold anything, and wait for the end.
    const moves = receives || link !== undefined;
    if (moves && sizing.grown) context.logger.warn({ rank, checkpoint }, sizing.reason);
    if (moves) emitPlan(emit, rank, plan, sizing);
    let source = await openSources({ context, planned, signal, emit, cleanup });
    const group = await link?.group(agreement.groupGeneration, waiting);
    await links.trim();

    watch.enter('handshake');
    const sharesRing = link?.sharesRing ?? false;
    const [ringOwner] = sharesRing ? roles.group : [rank];
    const ownRing = moves && rank === ringOwner ? keepRing(await rings.take(sizing.ringBytes), true) : undefined;
    const staging = moves ? await takeStaging(device, ownBuckets, sizing, cleanup) : undefined;
    const inference = await gatherHandles(
      epoch,
      device.uuid,
      roles.receivers,
      {
        address: async () => {
          session = cleanup.use(await openSession(context, protocol, agreement, sizing, timeoutMs));
          return session.address;
        },
        ring: ownRing?.handle,
      },
      options.inferenceParallelSize,
      waiting,
    );
    const ringMemory =
      ownRing ??
      (moves ? keepRing(await rings.open(inference.ringOf(ringOwner!), sizing.ringBytes), false) : undefined);
    const ring =
      ringMemory &&
      new Ring(
        ringMemory,
        transfers.map(({ bucket }) => bucket.sizeBytes),
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
    const order =
      ring &&
      orderStages({
        stages: options.stages,
        group: roles.group,
        measuredStages: agreement.proposals.get(roles.group[0] ?? rank)!.measuredStages,
        transfers,
        rank,
        sharesRing,
        ring,
        staging,
        epoch,
        waiting,
        onMeasured: (stages) => {
          link!.measuredStages = stages;
          context.logger.info({ rank, checkpoint, stages }, `${stages} stages move the buckets faster here`);
        },
      });
    let isAgain = false;
    for (let pass = 0; pass === 0 || isAgain; pass++) {
      if (isAgain) {
        await source.close();
        source = await openSources({ context, planned, signal, emit, cleanup });
      }
      const opened = session?.open(ring!.memory, { signal }) ?? Promise.resolve();
      opened.catch(fail);
      if (ring && order) {
        opened.then(
          () => watch.enter('stream'),
          () => {},
        );
        await runPipeline({
          transfers,
          rank,
          source,
          ring,
          sharesRing,
          staging,
          order,
          group,
          maxPendingBroadcasts: Math.min(link?.maxPending ?? 1, sizing.ringSlots),
          session,
          opened,
          describe: describeBuckets(context.metas, plan),
          signal,
          onFailure: fail,
          emit: (event) => {
            if (pass === 0) order.observe?.(event);
            emit(event);
          },
        });
      }
      watch.enter('release');
      await session?.finish({ signal, onPhase: (phase) => phase === 'released' && watch.enter('hook') });
      isAgain =
        options.passes === 'any' &&
        (await nextPass({ pass, session, request, isHead: inference.isHead, epoch, waiting }));
    }
    await untilAborted(request, signal);
    await epoch.barrier('done', waiting);
    if (options.releaseCommunicators === true) await leaveGroup(link, context);
    watch.enter('done');
    isDone = true;
    return summarise(context, agreement, plan, moves ? sizing : { ...sizing, deviceBytes: 0 }, watch);
  } catch (error) {
    fail(error);
    const { failure } = life;
    await Promise.allSettled([epoch?.abort(failure), session?.fail(failure)]);
    await leaveGroup(link, context);
    throw failure;
  } finally {
    await cleanup.run().catch((cause) => context.logger.warn({ rank, cause }, 'Cleaning up after an update failed'));
  }
}

/** Updates of one kind take rings of one size, as far as that can be known before the ranks meet. */
function kindOf({ metasDigest }: UpdateContext, { bucketBytes, deviceMemoryBytes, ranks }: UpdateOptions): string {
  return [metasDigest, bucketBytes, deviceMemoryBytes, ranks].join(':');
}

function rolesOf({ store, metas, isForeign, links, p2p }: UpdateContext, options: UpdateOptions): Roles {
  return assignRoles({
    members: store.members,
    ranks: options.ranks,
    metas,
    isForeign,
    hasBroadcast: links.hasTransport,
    hasP2P: p2p !== undefined,
    inferenceParallelSize: options.inferenceParallelSize,
  });
}

/** The next update makes a new one: that this one was not left in good order harms nothing. */
async function leaveGroup(link: BroadcastLink | undefined, { logger, store: { rank } }: UpdateContext): Promise<void> {
  await link?.drop().catch((cause) => logger.warn({ rank, cause }, 'Leaving the broadcast group failed'));
}
