/** The share of the bytes that an update verifies. */
export type VerifyMode = 'off' | 'sample' | 'full';

/** Minimum size of a sample. Small checkpoints are verified completely. */
const MIN_BYTES = 16 * 2 ** 20;
const MIN_SHARE = 1 / 64;

/** Chooses blocks to verify: different ones for each update, and the same ones on all ranks. */
export class Sampling {
  readonly #seed: number;
  readonly #limit: number;

  /**
   * @param seed Number of the update.
   * @param totalBytes Size of the checkpoint.
   */
  constructor(mode: VerifyMode, seed: number, totalBytes: number) {
    const share = mode === 'full' ? 1 : Math.max(MIN_SHARE, MIN_BYTES / Math.max(1, totalBytes));
    this.#seed = mix(seed);
    this.#limit = mode === 'off' ? 0 : Math.min(1, share) * 2 ** 32;
  }

  /** All blocks are chosen. */
  get isWhole(): boolean {
    return this.#limit === 2 ** 32;
  }

  /** Whether a block of a tensor is verified. */
  has(tensor: number, block: number): boolean {
    return this.rank(tensor, block) < this.#limit;
  }

  /** Returns the argument of {@link Sampling.chooses} for a tensor, which is computed once for all of its blocks. */
  chooserOf(tensor: number): number {
    return mix(this.#seed ^ tensor);
  }

  /** As {@link Sampling.has}. @param chooser The chooser of the tensor. */
  chooses(chooser: number, block: number): boolean {
    return mix(chooser ^ block) < this.#limit;
  }

  /** A number from 0 up to, not including, 2^32 for each block; the lowest ones are chosen first. */
  rank(tensor: number, block: number): number {
    return mix(this.chooserOf(tensor) ^ block);
  }
}

/** The same number for a tensor on all ranks. */
export function hashOf(name: string): number {
  let hash = 0;
  for (let at = 0; at < name.length; at++) hash = (Math.imul(hash, 31) + name.charCodeAt(at)) | 0;
  return hash;
}

function mix(value: number): number {
  let bits = (value + 0x9e3779b9) | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
