import type { BroadcastGroup, SharedMemory } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { WorkerSession } from '../session.ts';
import { Ring } from '../sources/ring.ts';
import { exchange } from '../util/exchange.ts';
import { gatherHandles, type InferenceGroup } from './handles.ts';
import type { Meeting } from './meet.ts';
import { openSession } from './open-session.ts';
import type { PlannedUpdate } from './plan-update.ts';
import { takeStaging } from './take-staging.ts';
import type { UpdateRun } from './update-run.ts';

/** The memory that buckets pass through, and the worker that waits for them. */
export interface Handshake {
  /** Absent if no bucket passes through this rank. */
  readonly ring: Ring<SharedMemory> | undefined;
  readonly sharesRing: boolean;
  readonly staging: Ring | undefined;
  readonly group: BroadcastGroup | undefined;
  /** Absent if this rank receives nothing. */
  readonly session: WorkerSession | undefined;
  readonly inference: InferenceGroup;
  /** The engine's answer, if this rank asked one. */
  readonly request: Promise<void>;
  /** This rank's worker holds the weights. */
  markLoaded(): void;
  /** The update succeeded: the next one can use the ring. */
  keepRing(): void;
}

/** What the ranks exchanged about their workers, and about the ring of the first one. */
export type Contact = Pick<Handshake, 'session' | 'inference' | 'request' | 'markLoaded'>;

/** Memory that buckets pass through. */
export type BucketMemory = Pick<Handshake, 'ring' | 'sharesRing' | 'staging' | 'keepRing'>;

/**
 * Allocates the memory that buckets pass through, exchanges the workers' addresses, and sends the request to the
 * engine.
 */
export async function shakeHands(
  run: UpdateRun,
  meeting: Meeting,
  planned: PlannedUpdate,
  group: BroadcastGroup | undefined,
): Promise<Handshake> {
  const lent = await lendRing(run, meeting, planned);
  const staging = meeting.moves
    ? await takeStaging(run.context.device, planned.ownBuckets, planned.sizing, run.cleanup)
    : undefined;
  const own = { slots: planned.sizing.ringSlots, ring: lent.own?.handle };
  const contact = await callWorkers(run, meeting, own, meeting.version);
  const memory = await lent.open(contact.inference.ringOf(lent.owner));
  return {
    ...contact,
    ring: memory && ringOf(memory, planned),
    sharesRing: meeting.link?.sharesRing ?? false,
    staging,
    group,
    keepRing: lent.keep,
  };
}

/** Allocates the memory that buckets pass through, after workers were called. */
export async function takeMemory(run: UpdateRun, meeting: Meeting, planned: PlannedUpdate): Promise<BucketMemory> {
  const { context, cleanup, waiting } = run;
  const { epoch, moves, link } = meeting;
  const lent = await lendRing(run, meeting, planned);
  const staging = moves ? await takeStaging(context.device, planned.ownBuckets, planned.sizing, cleanup) : undefined;
  const sharesRing = link?.sharesRing ?? false;
  const handles = await exchange(epoch, 'ring', () => encode(lent.own?.handle ?? null), waiting);
  const handle = decodeFromRank<Uint8Array | null>(handles[epoch.members.indexOf(lent.owner)]!);
  const memory = await lent.open(handle ?? undefined);
  return { ring: memory && ringOf(memory, planned), sharesRing, staging, keepRing: lent.keep };
}

/**
 * Opens this rank's address for its worker, exchanges all addresses, and sends the request to the engine.
 *
 * @param version The version that the engine holds after the request; undefined if the request does not change weights.
 */
export async function callWorkers(
  run: UpdateRun,
  meeting: Meeting,
  own: { readonly slots: number; readonly ring: Uint8Array | undefined },
  version: string | undefined,
): Promise<Contact> {
  const { context, options, life, cleanup, waiting } = run;
  const { agreement, roles, epoch, chosen } = meeting;
  let session: WorkerSession | undefined;
  const inference = await gatherHandles(
    epoch,
    context.device.uuid,
    roles.receivers,
    {
      address: async () => {
        session = cleanup.use(await openSession(context, chosen.protocol, agreement, own.slots, life.timeoutMs));
        life.onFailure((failure) => session!.fail(failure));
        return session.address;
      },
      ring: own.ring,
    },
    options.inferenceParallelSize,
    waiting,
  );
  let markLoaded = (): void => {};
  const loaded = new Promise<void>((resolve) => {
    markLoaded = resolve;
  });
  const request = inference.isHead ? askEngine(run, inference, version, loaded) : Promise.resolve();
  request.catch(life.fail);
  return { session, inference, request, markLoaded };
}

interface LentRing {
  /** The rank whose ring this one uses. */
  readonly owner: number;
  /** Whether that is this rank. */
  readonly own: SharedMemory | undefined;
  /** Returns the ring for this rank's buckets, and opens it if another rank allocated it. */
  open(handle: Uint8Array | undefined): Promise<SharedMemory | undefined>;
  keep(): void;
}

async function lendRing(
  { context, cleanup }: UpdateRun,
  { roles, link, moves }: Meeting,
  { sizing }: PlannedUpdate,
): Promise<LentRing> {
  const { rings, store } = context;
  let isSound = false;
  const lend = (memory: SharedMemory, isOwn: boolean): SharedMemory => {
    cleanup.defer(() => rings.giveBack(memory, { isOwn, isSound }));
    return memory;
  };
  const owner = link?.sharesRing === true ? roles.group[0]! : store.rank;
  const own = moves && store.rank === owner ? lend(await rings.take(sizing.ringBytes), true) : undefined;
  return {
    owner,
    own,
    open: async (handle) => own ?? (moves ? lend(await rings.open(handle, sizing.ringBytes), false) : undefined),
    keep: () => {
      isSound = true;
    },
  };
}

function ringOf(memory: SharedMemory, { transfers }: PlannedUpdate): Ring<SharedMemory> {
  return new Ring(
    memory,
    transfers.map(({ bucket }) => bucket.sizeBytes),
  );
}

async function askEngine(
  { options, waiting, watch }: UpdateRun,
  { handles, index }: InferenceGroup,
  weightVersion: string | undefined,
  loaded: Promise<void>,
): Promise<void> {
  const startedAtMs = performance.now();
  await options.requestEngine({ handles, groupIndex: index, weightVersion, loaded, ...waiting });
  watch.addEnginePause(performance.now() - startedAtMs);
}
