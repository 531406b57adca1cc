import type { ModuleReport, Needs } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import { assignPullReaders, neededBytes, planPull, type ReadChunk } from '@checkpoint-engine/planner';

/** Bytes of a chunk, as updates read them. */
const CHUNK_BYTES = 32 * 2 ** 20;

/** The work of one rank of a pull. Plain data, in bytes. */
export interface PlannedRank {
  readonly rank: number;
  readonly host: number;
  /** Bytes of the checkpoint that its worker keeps. */
  readonly neededBytes: number;
  /** The part of these that its worker copies from pools of its host. */
  readonly pooledBytes: number;
  /** Its share of the bytes that its host reads from other hosts, for all workers of the host. */
  readonly readBytes: number;
  /** The part of the checkpoint that its worker does not receive, but would receive in buckets. */
  readonly savedBytes: number;
  /** How its worker receives its modules, if a running engine reported it. */
  readonly modules?: ModuleReport | undefined;
}

/** The work of all ranks of one host. Plain data, in bytes. */
export interface PlannedHost {
  readonly host: number;
  readonly ranks: readonly number[];
  /** Bytes of the checkpoint in its pools. */
  readonly heldBytes: number;
  /** Bytes that are read from other hosts, each of them once for all workers of the host. */
  readonly readBytes: number;
  /** Bytes of other hosts. With buckets, all of them arrive at the host. */
  readonly broadcastBytes: number;
}

/** A pull, and what it saves. Plain data. */
export interface NeedsPlan {
  /** The source of the needs, in words. */
  readonly source: string;
  readonly checkpointBytes: number;
  readonly ranks: readonly PlannedRank[];
  readonly hosts: readonly PlannedHost[];
}

/** Input of {@link planNeeds}. */
export interface NeedsInput {
  readonly source: string;
  /** The metas of each rank. */
  readonly metas: readonly RankMetas[];
  /** By rank; a rank without an entry receives nothing. */
  readonly needs: ReadonlyMap<number, Needs>;
  readonly ranksPerHost: number;
}

/**
 * Plans a pull as the ranks would: bytes of the own host's pools are copied, those of other hosts read once per host.
 */
export function planNeeds({ source, metas, needs, ranksPerHost }: NeedsInput): NeedsPlan {
  const sizesBytes = metas.flatMap(({ tensors }) => tensors.map(({ sizeBytes }) => sizeBytes));
  const owners = metas.flatMap(({ tensors }, rank) => tensors.map(() => rank));
  const hostOf = (rank: number): number => Math.floor(rank / ranksPerHost);
  const checkpointBytes = sum(sizesBytes);
  const hostCount = Math.ceil(metas.length / ranksPerHost);
  const hosts: PlannedHost[] = [];
  const ranks: PlannedRank[] = [];
  for (let host = 0; host < hostCount; host++) {
    const members = [...metas.keys()].filter((rank) => hostOf(rank) === host);
    const ownerOf = Int32Array.from(owners, (owner) => (hostOf(owner) === host ? -1 : owner));
    const chunks = readChunks(members, metas.length, ownerOf, needs);
    const heldBytes = sum(sizesBytes.filter((_, index) => ownerOf[index] === -1));
    const readBytes = sum(chunks.map(rangeBytes));
    hosts.push({ host, ranks: members, heldBytes, readBytes, broadcastBytes: checkpointBytes - heldBytes });
    for (const rank of members) {
      const own = needs.get(rank);
      const kept = own === undefined ? 0 : neededBytes(own, sizesBytes);
      ranks.push({
        ...{ rank, host, neededBytes: kept, pooledBytes: own === undefined ? 0 : pooledBytes(own, ownerOf) },
        readBytes: sum(chunks.filter(({ readerRank }) => readerRank === rank).map(rangeBytes)),
        savedBytes: own === undefined ? 0 : checkpointBytes - kept,
      });
    }
  }
  return { source, checkpointBytes, ranks, hosts };
}

/** Assigns a separate NIC to each rank. */
function readChunks(
  members: readonly number[],
  worldSize: number,
  ownerOf: Int32Array,
  needs: ReadonlyMap<number, Needs>,
): ReadChunk[] {
  const own = new Map([...needs].filter(([rank]) => members.includes(rank)));
  const nics = (ranks: Iterable<number>) => new Map(Array.from(ranks, (rank) => [`nic-${rank}`, new Set([rank])]));
  return assignPullReaders(planPull({ ownerOf, needs: own, chunkBytes: CHUNK_BYTES }), {
    local: new Set(members),
    localTopology: nics(members),
    remoteTopology: nics(Array(worldSize).keys()),
  });
}

/** Bytes of boxes whose tensors are in pools of the host. */
function pooledBytes({ tensor, rows, rowBytes }: Needs, ownerOf: Int32Array): number {
  let bytes = 0;
  for (let at = 0; at < tensor.length; at++) if (ownerOf[tensor[at]!] === -1) bytes += rows[at]! * rowBytes[at]!;
  return bytes;
}

function rangeBytes(chunk: ReadChunk): number {
  return sum(chunk.rangeBytes);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
