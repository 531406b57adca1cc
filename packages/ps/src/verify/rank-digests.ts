import { type BlockDigests, firstBlocks, type RankMetas } from '@checkpoint-engine/meta';

const known = new WeakMap<BlockDigests, RankDigests>();

/** The digests of the blocks of one rank's tensors, and values derived from them: computed once, not in each update. */
export class RankDigests {
  readonly metas: RankMetas;
  readonly digests: BlockDigests;
  /** For each tensor the index of its first block; at the end the number of blocks. */
  readonly first: Float64Array;
  #whole: BigUint64Array | undefined;

  private constructor(metas: RankMetas, digests: BlockDigests, first: Float64Array) {
    this.metas = metas;
    this.digests = digests;
    this.first = first;
  }

  /** @returns Undefined if the digests do not fit the tensors. */
  static of(metas: RankMetas, digests: BlockDigests): RankDigests | undefined {
    const before = known.get(digests);
    if (before?.metas === metas) return before;
    const first = firstBlocks(metas.tensors, digests.blockBytes);
    if (first.at(-1) !== digests.blocks.length) return undefined;
    const made = new RankDigests(metas, digests, first);
    known.set(digests, made);
    return made;
  }

  get blockBytes(): number {
    return this.digests.blockBytes;
  }

  /** The digest of a block; undefined if the tensor does not have it. */
  block(tensor: number, block: number): bigint | undefined {
    return this.digests.blocks[this.first[tensor]! + block];
  }

  /** The digest of a tensor. */
  whole(tensor: number): bigint {
    if (this.#whole === undefined) {
      const { first, digests } = this;
      const whole = new BigUint64Array(first.length - 1);
      for (let at = 0; at < whole.length; at++) {
        for (let block = first[at]!; block < first[at + 1]!; block++) whole[at]! += digests.blocks[block]!;
      }
      this.#whole = whole;
    }
    return this.#whole[tensor]!;
  }
}
