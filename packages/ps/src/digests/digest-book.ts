import type { DigestRange, DigestRequest } from '@checkpoint-engine/interface';
import { type BlockDigests, chooseBlockBytes, firstBlocks, type ParameterMeta } from '@checkpoint-engine/meta';
import { digestMismatch } from './digest-mismatch.ts';

/** Bytes of a tensor that are in a memory. */
export interface TensorRange {
  /** Index of the tensor in the metas of its rank. */
  readonly tensor: number;
  /** From the start of the tensor. */
  readonly positionBytes: number;
  /** From the start of the memory. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** A request for the digests of ranges, and the blocks that its sums belong to. */
export interface BlockRequest extends DigestRequest {
  /** For each sum the index of its block in the book. */
  readonly blocks: Float64Array;
  /** For each sum the bytes of the block that the ranges have. */
  readonly bytes: Float64Array;
}

/** The digests of the blocks of what a rank holds of a checkpoint, as far as its bytes have been read. */
export class DigestBook {
  readonly tensors: readonly ParameterMeta[];
  readonly blockBytes: number;
  /** For each tensor the index of its first block; at the end the number of blocks. */
  readonly first: Float64Array;
  readonly #blocks: BigUint64Array;
  readonly #known: Uint8Array;
  #byName: ReadonlyMap<string, number> | undefined;
  #missing: number;

  constructor(tensors: readonly ParameterMeta[]) {
    this.tensors = tensors;
    this.blockBytes = chooseBlockBytes(tensors);
    this.first = firstBlocks(tensors, this.blockBytes);
    const count = this.first.at(-1)!;
    this.#blocks = new BigUint64Array(count);
    this.#known = new Uint8Array(count);
    this.#missing = count;
  }

  /** All digests; undefined while some bytes have not been read. */
  get complete(): BlockDigests | undefined {
    return this.#missing > 0 ? undefined : { blockBytes: this.blockBytes, blocks: this.#blocks };
  }

  /** The digest of a block; undefined if its bytes have not been read. */
  block(tensor: number, block: number): bigint | undefined {
    const index = this.first[tensor]! + block;
    return this.#known[index] === 1 ? this.#blocks[index] : undefined;
  }

  /** The parts of a tensor whose digests are not known, in order. */
  unknownOf(tensor: number): { readonly fromBytes: number; readonly toBytes: number }[] {
    const { blockBytes } = this;
    const { sizeBytes } = this.tensors[tensor]!;
    const parts: { fromBytes: number; toBytes: number }[] = [];
    for (let block = 0; block * blockBytes < sizeBytes; block++) {
      if (this.block(tensor, block) !== undefined) continue;
      const fromBytes = block * blockBytes;
      const toBytes = Math.min(sizeBytes, fromBytes + blockBytes);
      const last = parts.at(-1);
      if (last?.toBytes === fromBytes) last.toBytes = toBytes;
      else parts.push({ fromBytes, toBytes });
    }
    return parts;
  }

  /** Index of a tensor by its name. @throws {RangeError} The rank does not hold it. */
  indexOf(name: string): number {
    this.#byName ??= new Map(this.tensors.map((tensor, index) => [tensor.name, index]));
    const index = this.#byName.get(name);
    if (index === undefined) throw new RangeError(`The book has no tensor "${name}"`);
    return index;
  }

  /** Size of a block, by its index in the book. */
  sizeOf(index: number): number {
    const tensor = this.tensorOf(index);
    const start = (index - this.first[tensor]!) * this.blockBytes;
    return Math.min(this.blockBytes, this.tensors[tensor]!.sizeBytes - start);
  }

  /** The tensor that a block belongs to. */
  tensorOf(index: number): number {
    let low = 0;
    let high = this.tensors.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.first[middle]! <= index) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The request that digests these ranges by blocks. Ranges of one tensor may follow each other. */
  requestOf(ranges: readonly TensorRange[]): BlockRequest {
    const wanted: DigestRange[] = [];
    const blocks: number[] = [];
    const bytes: number[] = [];
    for (const { tensor, positionBytes, offsetBytes, sizeBytes } of ranges) {
      if (sizeBytes === 0) continue;
      wanted.push({ offsetBytes, sizeBytes, positionBytes, sum: blocks.length });
      const end = positionBytes + sizeBytes;
      for (let block = Math.floor(positionBytes / this.blockBytes); block * this.blockBytes < end; block++) {
        const from = Math.max(positionBytes, block * this.blockBytes);
        blocks.push(this.first[tensor]! + block);
        bytes.push(Math.min(end, (block + 1) * this.blockBytes) - from);
      }
    }
    return {
      ranges: wanted,
      blockBytes: this.blockBytes,
      sumCount: blocks.length,
      blocks: Float64Array.from(blocks),
      bytes: Float64Array.from(bytes),
    };
  }

  /**
   * Takes the digest of a block whose bytes have been read. The first one counts; later ones are compared with it.
   *
   * @throws `CE_DIGEST_MISMATCH` The bytes are not those that were read first.
   */
  take(index: number, digest: bigint, rank: number): void {
    if (this.#known[index] === 1) {
      if (this.#blocks[index] === digest) return;
      const tensor = this.tensorOf(index);
      throw digestMismatch({
        rank,
        tensor: this.tensors[tensor]!.name,
        offsetBytes: (index - this.first[tensor]!) * this.blockBytes,
        sizeBytes: this.sizeOf(index),
        expected: this.#blocks[index]!,
        seen: digest,
        leg: 'source',
      });
    }
    this.#known[index] = 1;
    this.#blocks[index] = digest;
    this.#missing -= 1;
  }
}

/** Adds the digests of parts of blocks, which come in any order, and hands complete blocks to a book. */
export class DigestTally {
  readonly #book: DigestBook;
  readonly #rank: number;
  readonly #parts = new Map<number, { bytes: number; digest: bigint }>();

  /** @param rank Named in errors. */
  constructor(book: DigestBook, rank: number) {
    this.#book = book;
    this.#rank = rank;
  }

  /** See {@link DigestBook.indexOf}. */
  indexOf(name: string): number {
    return this.#book.indexOf(name);
  }

  /** See {@link DigestBook.requestOf}. */
  requestOf(ranges: readonly TensorRange[]): BlockRequest {
    return this.#book.requestOf(ranges);
  }

  /** Takes the sums of a request. Each byte is added once. @throws `CE_DIGEST_MISMATCH` */
  add({ blocks, bytes }: BlockRequest, sums: BigUint64Array): void {
    for (const [at, index] of blocks.entries()) {
      const part = this.#parts.get(index) ?? { bytes: 0, digest: 0n };
      const digest = BigInt.asUintN(64, part.digest + sums[at]!);
      const done = part.bytes + bytes[at]!;
      if (done === this.#book.sizeOf(index)) {
        this.#parts.delete(index);
        this.#book.take(index, digest, this.#rank);
      } else {
        this.#parts.set(index, { bytes: done, digest });
      }
    }
  }
}
