import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { WorldMetas } from '../api.ts';

/** The inputs of {@link assignRoles}. Equal on all ranks. */
export interface RolesInput {
  /** All ranks of this world, ascending. */
  readonly members: readonly number[];
  /** Ranks that receive; all if it is absent or empty. */
  readonly ranks: readonly number[] | undefined;
  readonly metas: WorldMetas;
  /** Whether the metas are those of another world, whose ranks hold the weights. */
  readonly isForeign: boolean;
  readonly hasBroadcast: boolean;
  readonly hasP2P: boolean;
  readonly inferenceParallelSize: number | undefined;
}

/** The roles of ranks in an update. Equal on all ranks. */
export interface Roles {
  /** Ranks whose engines receive, ascending. */
  readonly receivers: readonly number[];
  /**
   * Ranks that broadcast to each other, ascending: the receivers, and owners among the others whose memory cannot be
   * read. Without a group every receiver reads all buckets itself.
   */
  readonly group: readonly number[];
  /** Whether some buckets are read from peers' memory. */
  readonly reads: boolean;
}

/**
 * Decides which ranks take part in an update, and how. Buckets outside the group are read by P2P.
 *
 * @throws {RangeError} `ranks` or `inferenceParallelSize` do not fit the world.
 * @throws `CE_CONFIG_INVALID` A required transport is missing; `CE_METAS_INVALID` An owner's memory cannot be read.
 */
export function assignRoles(input: RolesInput): Roles {
  const { metas, isForeign, hasBroadcast, hasP2P } = input;
  const receivers = receiversOf(input);
  const owners = metas.filter(({ tensors }) => tensors.length > 0);
  const isReceiver = ({ rank }: RankMetas): boolean => !isForeign && receivers.includes(rank);
  const senders = isForeign
    ? []
    : owners.filter((owner) => !isReceiver(owner) && !(hasP2P && isReadable(owner))).map(({ rank }) => rank);
  const group = [...receivers, ...senders].sort((a, b) => a - b);
  const broadcasts = hasBroadcast && group.length > 1;
  if (group.length > 1 && !hasBroadcast && (!hasP2P || senders.length > 0)) throw noTransport(input, senders);
  const read = owners.filter((owner) => isForeign || !(broadcasts && group.includes(owner.rank)));
  // If the only receiver owns everything, no rank reads from another.
  const others = read.filter(({ rank }) => isForeign || receivers.length > 1 || rank !== receivers[0]);
  if (others.length > 0 && !hasP2P) throw noP2P(input);
  for (const owner of others) if (!isReadable(owner)) throw unreadable(owner);
  return { receivers, group: broadcasts ? group : [], reads: others.length > 0 };
}

/** Whether peers can read everything that a rank holds. */
function isReadable({ p2pAddress, regions, tensors }: RankMetas): boolean {
  if (p2pAddress === undefined) return false;
  const used = new Set(tensors.map(({ region }) => region));
  return regions.every(({ remote, sizeBytes }, index) => !used.has(index) || (remote?.sizeBytes ?? -1) >= sizeBytes);
}

/**
 * The ranks whose engines take part, ascending.
 *
 * @throws {RangeError} `ranks` or `inferenceParallelSize` do not fit the world.
 */
export function receiversOf({
  members,
  ranks,
  inferenceParallelSize: size,
}: Pick<RolesInput, 'members' | 'ranks' | 'inferenceParallelSize'>): readonly number[] {
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 1)) {
    throw new RangeError(`inferenceParallelSize is ${size}, expected 1 or more`);
  }
  if (ranks === undefined || ranks.length === 0) return members;
  const receivers = [...new Set(ranks)].sort((a, b) => a - b);
  const unknownRank = receivers.find((rank) => !members.includes(rank));
  if (unknownRank !== undefined) {
    throw new RangeError(`ranks has ${unknownRank}, expected ranks of this world, ${members[0]} to ${members.at(-1)}`);
  }
  if (size === undefined) return receivers;
  const instanceOf = (rank: number): number => Math.floor(rank / size);
  const instances = new Set(receivers.map(instanceOf));
  const absent = members.find((rank) => instances.has(instanceOf(rank)) && !receivers.includes(rank));
  if (absent === undefined) return receivers;
  throw new RangeError(
    `ranks leaves out rank ${absent}, but has others of its inference instance of ${size} ranks: expected all of them or none`,
  );
}

function noTransport({ members }: RolesInput, senders: readonly number[]): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    senders.length > 0
      ? `Ranks ${senders.join(', ')} own weights that peers cannot read, but the servers have no broadcast transport`
      : `A world of ${members.length} ranks needs a broadcast transport, but the server has none`,
    'Pass `broadcast`: nccl() for GPUs, shm() for the host device; or pass `p2p` on all ranks before they register',
  );
}

function noP2P({ metas }: RolesInput): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `Checkpoint "${metas[0]?.checkpoint}" is held by another world, but the server has no P2P transport to read it`,
    'Pass `p2p`, the transport that the owners use: rdma() between hosts, shmP2P() within one',
  );
}

function unreadable({ rank, p2pAddress, checkpoint }: RankMetas): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_METAS_INVALID',
    p2pAddress === undefined
      ? `Rank ${rank} owns weights of checkpoint "${checkpoint}", but its metas contain no P2P address`
      : `Rank ${rank} owns weights of checkpoint "${checkpoint}" that are in files, or that its P2P transport could not share`,
    'Give the owners a P2P transport, let them register the checkpoint into memory (no streaming), and save the metas again',
    { peer: rank },
  );
}
