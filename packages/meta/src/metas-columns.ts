/**
 * The columns of encoded metas, in their order. Whole numbers are varints, strings indices into the first column.
 *
 * A name is what it shares with the name before it, and a suffix. Names in pool order repeat few suffixes, lengths,
 * dtypes and shapes, always together: that is a step. A tensor is the index of its step; where it lies follows from the
 * sizes, but for the gaps in front.
 *
 * What that saves: the metas of Kimi-K2 in FP8 on 64 ranks (139,583 tensors) take 147 kB, 4 kB after deflate at level 1,
 * and are decoded in 34 ms of processor time. Plain msgpack columns of the same metas take 10.9 MB, 1.13 MB after
 * deflate, and 189 ms. Every rank receives and decodes the metas of all ranks.
 */
export const COLUMNS = [
  /** Count, bytes of each, their UTF-8. */
  'strings',
  /** Count, then dtype, number of dimensions, dimensions. */
  'kinds',
  /** Count, then characters shared, suffix, kind; the most frequent first, so that their index takes one byte. */
  'steps',
  /** Count, then a rank: checkpoint, rank, host, device, P2P address + 1 or 0, NICs, regions with their number of tensors. */
  'ranks',
  /** The step of each tensor. */
  'tensors',
  /** Bytes between a tensor and the one before it (or the region's start), and of how many tensors that holds. */
  'gaps',
] as const;

/** The encoded columns by name. */
export type Columns = Readonly<Record<(typeof COLUMNS)[number], Uint8Array>>;

/** Most UTF-16 units of all names together. It bounds what a few bytes can make a decoder allocate. */
export const MAX_NAME_UNITS: number = 2 ** 27;

/** Tells whether a UTF-16 unit is the first half of a surrogate pair. */
export function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
