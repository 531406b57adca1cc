import type { Needs } from '@checkpoint-engine/interface';
import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import { checkPositiveInteger } from './check-argument.ts';
import { neededRanges, type RangeUser } from './needed-ranges.ts';
import type { Transfer } from './transfer.ts';

/** Smallest size to which a piece is cut; a chunk closes rather than take a smaller one. */
const SMALLEST_CUT_BYTES = 4096;
/** A smaller read costs about as much as a read of this size. */
const GAP_BYTES = 32 * 1024;

/**
 * A transfer of a pull, before it is known which rank of the host reads it. Each range has the same distance from a
 * multiple of 256 as in its tensor. Plain data.
 */
export type PullChunk = Omit<Transfer, 'index' | 'readerRank'>;

/** Input of {@link planPull}. */
export interface PlanPullInput {
  /** The rank that provides each tensor; -1 for a tensor that receivers already have. */
  readonly ownerOf: Int32Array;
  /** The parts that each rank of the host keeps. */
  readonly needs: ReadonlyMap<number, Needs>;
  /** Largest size of a chunk, at least 4096. */
  readonly chunkBytes: number;
  /**
   * Rows of a box with at most this distance are transferred as one run, including gaps: a column of a matrix would
   * otherwise cross the network in pieces of a few bytes.
   * @default 32 KiB
   */
  readonly gapBytes?: number | undefined;
}

/**
 * Divides the bytes that the ranks of one host need, and do not already have, into chunks of one owner each.
 *
 * Every needed byte is in exactly one chunk, regardless of how many ranks need it. Chunks hold no other bytes, except
 * for the gaps of at most `gapBytes` between the rows of a box.
 *
 * @returns The chunks by ascending owner, then by tensor.
 * @throws {RangeError} An option is outside of its range.
 */
export function planPull({ ownerOf, needs, chunkBytes, gapBytes = GAP_BYTES }: PlanPullInput): PullChunk[] {
  checkPositiveInteger('chunkBytes', chunkBytes);
  if (chunkBytes < SMALLEST_CUT_BYTES) throw new RangeError(`chunkBytes is ${chunkBytes}, expected 4096 or more`);
  const makers = new Map<number, ChunkMaker>();
  for (const range of neededRanges(ownerOf, needs, gapBytes)) {
    const owner = ownerOf[range.tensor]!;
    let maker = makers.get(owner);
    if (maker === undefined) {
      maker = new ChunkMaker(owner, chunkBytes);
      makers.set(owner, maker);
    }
    maker.add(range.tensor, range.fromBytes, range.toBytes, range.users);
  }
  return [...makers.keys()].sort((a, b) => a - b).flatMap((owner) => makers.get(owner)!.finish());
}

/** Fills the chunks of one owner. */
class ChunkMaker {
  readonly #owner: number;
  readonly #chunkBytes: number;
  readonly #chunks: PullChunk[] = [];
  #rows: [tensor: number, tensorOffset: number, size: number, offset: number][] = [];
  #receivers = new Set<number>();
  #endBytes = 0;

  constructor(owner: number, chunkBytes: number) {
    this.#owner = owner;
    this.#chunkBytes = chunkBytes;
  }

  /** @param users The ranks that need the range, and the part that each of them needs. */
  add(tensor: number, fromBytes: number, toBytes: number, users: readonly RangeUser[]): void {
    for (let from = fromBytes; from < toBytes; ) {
      const leftBytes = toBytes - from;
      let offset = placeAfter(this.#endBytes, from);
      const roomBytes = this.#chunkBytes - offset;
      if (roomBytes < Math.min(leftBytes, SMALLEST_CUT_BYTES)) {
        this.#close();
        offset = placeAfter(0, from);
      }
      const size = Math.min(leftBytes, this.#chunkBytes - offset);
      this.#rows.push([tensor, from, size, offset]);
      this.#endBytes = offset + size;
      for (const { rank, fromBytes: start, toBytes: end } of users) {
        if (start < from + size && from < end) this.#receivers.add(rank);
      }
      from += size;
    }
  }

  finish(): PullChunk[] {
    this.#close();
    return this.#chunks;
  }

  #close(): void {
    if (this.#rows.length === 0) return;
    const rows = this.#rows;
    this.#chunks.push({
      ownerRank: this.#owner,
      sizeBytes: this.#endBytes,
      tensor: Uint32Array.from(rows, (row) => row[0]),
      tensorOffsetBytes: Float64Array.from(rows, (row) => row[1]),
      rangeBytes: Float64Array.from(rows, (row) => row[2]),
      offsetBytes: Float64Array.from(rows, (row) => row[3]),
      receivers: [...this.#receivers].sort((a, b) => a - b),
    });
    this.#rows = [];
    this.#receivers = new Set();
    this.#endBytes = 0;
  }
}

/**
 * Places a range at the same distance from a multiple of 256 as in the tensor, so that wide copies are aligned on both
 * sides.
 */
function placeAfter(endBytes: number, tensorOffsetBytes: number): number {
  return alignUp(endBytes, DEFAULT_ALIGN_BYTES) + (tensorOffsetBytes % DEFAULT_ALIGN_BYTES);
}
