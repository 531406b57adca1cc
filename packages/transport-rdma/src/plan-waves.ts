/** A piece of a read: bytes of the peer's memory and their destination. */
export interface Piece {
  /** Index of the local memory, in the caller's numbering. */
  readonly segment: number;
  readonly offset: number;
  readonly remoteAddress: bigint;
  readonly size: number;
}

/** Limits of transfers. */
export interface WaveLimits {
  /** Largest transfer in bytes. */
  readonly blockBytes: number;
  /** Maximum number of transfers in flight. */
  readonly waveBlocks: number;
}

/**
 * Joins pieces that are contiguous on both sides, splits those that are larger than a block, and groups the blocks into
 * waves in the order of the peer's addresses. Empty pieces are left out.
 */
export function planWaves(pieces: readonly Piece[], { blockBytes, waveBlocks }: WaveLimits): Piece[][] {
  const blocks: Piece[] = joined(pieces).flatMap((piece) =>
    Array.from({ length: Math.ceil(piece.size / blockBytes) }, (_, i) => {
      const start = i * blockBytes;
      return {
        segment: piece.segment,
        offset: piece.offset + start,
        remoteAddress: piece.remoteAddress + BigInt(start),
        size: Math.min(blockBytes, piece.size - start),
      };
    }),
  );
  return Array.from({ length: Math.ceil(blocks.length / waveBlocks) }, (_, i) =>
    blocks.slice(i * waveBlocks, (i + 1) * waveBlocks),
  );
}

function joined(pieces: readonly Piece[]): Piece[] {
  const ordered = pieces
    .filter(({ size }) => size > 0)
    .sort((a, b) => (a.remoteAddress < b.remoteAddress ? -1 : a.remoteAddress > b.remoteAddress ? 1 : 0));
  const result: Piece[] = [];
  for (const piece of ordered) {
    const last = result.at(-1);
    const continues =
      last !== undefined &&
      last.segment === piece.segment &&
      last.offset + last.size === piece.offset &&
      last.remoteAddress + BigInt(last.size) === piece.remoteAddress;
    if (continues) result[result.length - 1] = { ...last, size: last.size + piece.size };
    else result.push(piece);
  }
  return result;
}
