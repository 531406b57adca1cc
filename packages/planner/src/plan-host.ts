import type { Needs } from '@checkpoint-engine/interface';
import { alignDown, alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import { assignPullReaders, type PullReaders, type ReadChunk } from './assign-pull-readers.ts';
import { type Placement, placeInRing } from './place-in-ring.ts';
import { planPull } from './plan-pull.ts';
import type { Transfer } from './transfer.ts';

const MIB = 2 ** 20;
/** Large enough that announcing a chunk costs little, small enough that several are in progress. */
const CHUNK_BYTES = 32 * MIB;
const CHUNKS_IN_RING = 4;
const MIN_CHUNK_BYTES = 4096;

/** Input of {@link planHost}. */
export interface PlanHostInput {
  /** By tensor, the rank that reads it; -1 for a tensor that the workers of the host already have. */
  readonly ownerOf: Int32Array;
  /** By rank of the host, the parts that its worker keeps. */
  readonly needs: ReadonlyMap<number, Needs>;
  /** By rank of the host, the parts that its worker compares once they are loaded. */
  readonly compared: ReadonlyMap<number, Needs>;
  readonly readers: PullReaders;
  /** Maximum size of a chunk. @default 32 MiB */
  readonly bucketBytes?: number | undefined;
  /** Limits of the memory that a rank of the host may use for its ring. @default none */
  readonly hostMemoryBytes?: readonly number[] | undefined;
}

/**
 * A transfer, and its place in its reader's ring. The index counts all transfers of the host; those of the proof come
 * after the others.
 */
export interface HostChunk extends Transfer {
  readonly place: Placement;
}

/** What passes through the rings of one host. Equal on all ranks of the host. */
export interface HostTransfers {
  /** The chunks that pass through rings, in the order of their reads. */
  readonly chunks: readonly HostChunk[];
  /** The same for the tensors that workers compare once they are loaded. */
  readonly proof: readonly HostChunk[];
  /** By reading rank, the size of its ring. */
  readonly ringBytes: ReadonlyMap<number, number>;
}

/**
 * Plans what the ranks of one host read for their workers, and where each chunk is in the ring of its reader.
 *
 * Every byte that a worker needs and does not have is in exactly one chunk. A ring holds a few chunks, so that reads
 * continue while workers copy.
 *
 * @throws `CE_PLAN_NO_RECEIVER`, `CE_METAS_INVALID`
 */
export function planHost(input: PlanHostInput): HostTransfers {
  const { ownerOf, needs, compared, readers, bucketBytes, hostMemoryBytes = [] } = input;
  const chunkBytes = chunkBytesOf(hostMemoryBytes, bucketBytes);
  const pulled = assignPullReaders(planPull({ ownerOf, needs, chunkBytes }), readers);
  const proved = assignPullReaders(planPull({ ownerOf, needs: compared, chunkBytes }), readers);
  const ringBytes = new Map<number, number>();
  for (const { readerRank } of [...pulled, ...proved]) {
    const most = Math.max(bytesRead(pulled, readerRank), bytesRead(proved, readerRank));
    if (!ringBytes.has(readerRank)) ringBytes.set(readerRank, Math.min(most, CHUNKS_IN_RING * align(chunkBytes)));
  }
  const chunks = placed(pulled, ringBytes, 0);
  return { chunks, proof: placed(proved, ringBytes, chunks.length), ringBytes };
}

const align = (bytes: number): number => alignUp(bytes, DEFAULT_ALIGN_BYTES);

/** Chunks are no larger than buckets, and several of them fit into the memory that ranks of this host may use. */
function chunkBytesOf(hostMemoryBytes: readonly number[], bucketBytes = CHUNK_BYTES): number {
  const ringBytes = Math.min(...hostMemoryBytes, CHUNKS_IN_RING * CHUNK_BYTES);
  const share = alignDown(ringBytes / CHUNKS_IN_RING, DEFAULT_ALIGN_BYTES);
  return Math.max(MIN_CHUNK_BYTES, Math.min(bucketBytes, share));
}

function bytesRead(chunks: readonly ReadChunk[], reader: number): number {
  return chunks.reduce((sum, { readerRank, sizeBytes }) => sum + (readerRank === reader ? align(sizeBytes) : 0), 0);
}

/** Assigns chunks their places in the rings of their readers. */
function placed(read: readonly ReadChunk[], ringBytes: ReadonlyMap<number, number>, firstIndex: number): HostChunk[] {
  const chunks: HostChunk[] = Array(read.length);
  for (const [rank, bytes] of ringBytes) {
    const own = [...read.entries()].filter(([, { readerRank }]) => readerRank === rank);
    const placements = placeInRing(
      own.map(([, { sizeBytes }]) => sizeBytes),
      bytes,
    );
    for (const [at, [index, chunk]] of own.entries()) {
      chunks[index] = { ...chunk, index: firstIndex + index, place: placements[at]! };
    }
  }
  return chunks;
}
