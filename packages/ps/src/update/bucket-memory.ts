import type { SharedMemory } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { Ring } from '../sources/ring.ts';
import { exchange } from '../util/exchange.ts';
import type { Meeting } from './meet.ts';
import type { PlannedUpdate } from './plan-update.ts';
import type { UpdateRun } from './update-run.ts';

/** Memory that buckets pass through. */
export interface BucketMemory {
  /** Absent if no bucket passes through this rank. */
  readonly ring: Ring<SharedMemory> | undefined;
  /** Whether all members of the group share one ring. */
  readonly sharesRing: boolean;
  /** The memory in which own buckets wait for their broadcast. Absent if they are loaded directly into the ring. */
  readonly staging: Ring | undefined;
  /** The update succeeded: the next one can use the ring. */
  keepRing(): void;
}

/** Memory that this rank has allocated, before it knows the ring of the rank that shares one. */
export interface LentMemory {
  /** The rank whose ring this one uses. */
  readonly owner: number;
  /** Handle of the ring, if that is this rank. */
  readonly handle: Uint8Array | undefined;
  /** Opens the ring, if another rank allocated it. @param handle That of the owner. */
  open(handle: Uint8Array | undefined): Promise<BucketMemory>;
}

/** Allocates this rank's part of the memory that buckets pass through. */
export async function lendMemory(
  { context, cleanup }: UpdateRun,
  { roles, link, moves }: Meeting,
  { sizing, transfers, ownBuckets }: PlannedUpdate,
): Promise<LentMemory> {
  const { rings, store, device } = context;
  const sharesRing = link?.sharesRing ?? false;
  let isSound = false;
  const lend = (memory: SharedMemory, isOwn: boolean): SharedMemory => {
    cleanup.defer(() => rings.release(memory, { isOwn, isSound }));
    return memory;
  };
  const owner = sharesRing ? roles.group[0]! : store.rank;
  const own = moves && store.rank === owner ? lend(await rings.take(sizing.ringBytes), true) : undefined;
  const hasStaging = moves && sizing.stagingBytes > 0;
  const staging = hasStaging ? cleanup.use(await device.allocate(sizing.stagingBytes)) : undefined;
  return {
    owner,
    handle: own?.handle,
    open: async (handle) => {
      const memory = own ?? (moves ? lend(await rings.open(handle, sizing.ringBytes), false) : undefined);
      return {
        ring: memory && new Ring(memory, sizesOf(transfers.map(({ bucket }) => bucket))),
        sharesRing,
        staging: staging && new Ring(staging, sizesOf(ownBuckets)),
        keepRing: () => {
          isSound = true;
        },
      };
    },
  };
}

/** Allocates the memory that buckets pass through, after workers were called. */
export async function takeMemory(run: UpdateRun, meeting: Meeting, planned: PlannedUpdate): Promise<BucketMemory> {
  const { epoch } = meeting;
  const lent = await lendMemory(run, meeting, planned);
  const handles = await exchange(epoch, 'ring', () => encode(lent.handle ?? null), run.waiting);
  const handle = decodeFromRank<Uint8Array | null>(handles[epoch.members.indexOf(lent.owner)]!);
  return await lent.open(handle ?? undefined);
}

function sizesOf(buckets: readonly { readonly sizeBytes: number }[]): number[] {
  return buckets.map(({ sizeBytes }) => sizeBytes);
}
