import type { BroadcastGroup, SharedMemory } from '@checkpoint-engine/interface';
import type { WorkerSession } from '../session.ts';
import { Ring } from '../sources/ring.ts';
import { gatherHandles, type InferenceGroup } from './handles.ts';
import type { Meeting } from './meet.ts';
import { openSession } from './open-session.ts';
import { takeStaging } from './take-staging.ts';
import type { UpdateRun } from './update-run.ts';

/** What the buckets go through, and who waits for them. */
export interface Handshake {
  /** Absent where no bucket comes through this rank. */
  readonly ring: Ring<SharedMemory> | undefined;
  readonly sharesRing: boolean;
  readonly staging: Ring | undefined;
  readonly group: BroadcastGroup | undefined;
  /** Absent where this rank receives nothing. */
  readonly session: WorkerSession | undefined;
  readonly inference: InferenceGroup;
  /** The engine's answer, where this rank asks one. */
  readonly request: Promise<void>;
  /** The update went well: the ring is fit for the next one. */
  keepRing(): void;
}

/** Takes the memory that buckets pass through, tells all ranks of all workers' addresses, and asks the engine to come. */
export async function shakeHands(
  run: UpdateRun,
  meeting: Meeting,
  group: BroadcastGroup | undefined,
): Promise<Handshake> {
  const { context, options, protocol, life, cleanup, waiting } = run;
  const { agreement, roles, planned, epoch, link, moves } = meeting;
  const { device, rings, store } = context;
  const { sizing, transfers, ownBuckets } = planned;
  let isSound = false;
  const lend = (memory: SharedMemory, isOwn: boolean): SharedMemory => {
    cleanup.defer(() => rings.giveBack(memory, { isOwn, isSound }));
    return memory;
  };
  const sharesRing = link?.sharesRing ?? false;
  const ringOwner = sharesRing ? roles.group[0]! : store.rank;
  const ownRing = moves && store.rank === ringOwner ? lend(await rings.take(sizing.ringBytes), true) : undefined;
  const staging = moves ? await takeStaging(device, ownBuckets, sizing, cleanup) : undefined;
  let session: WorkerSession | undefined;
  const inference = await gatherHandles(
    epoch,
    device.uuid,
    roles.receivers,
    {
      address: async () => {
        session = cleanup.use(await openSession(context, protocol, agreement, sizing, life.timeoutMs));
        life.onFailure((failure) => session!.fail(failure));
        return session.address;
      },
      ring: ownRing?.handle,
    },
    options.inferenceParallelSize,
    waiting,
  );
  const memory =
    ownRing ?? (moves ? lend(await rings.open(inference.ringOf(ringOwner), sizing.ringBytes), false) : undefined);
  const sizesBytes = transfers.map(({ bucket }) => bucket.sizeBytes);
  const request = inference.isHead ? askEngine(run, inference) : Promise.resolve();
  request.catch(life.fail);
  return {
    ring: memory && new Ring(memory, sizesBytes),
    sharesRing,
    staging,
    group,
    session,
    inference,
    request,
    keepRing: () => {
      isSound = true;
    },
  };
}

async function askEngine({ options, waiting }: UpdateRun, { handles, index }: InferenceGroup): Promise<void> {
  await options.requestEngine({ handles, groupIndex: index, weightVersion: options.weightVersion, ...waiting });
}
