import { createHash } from 'node:crypto';
import { addDigests, digestText } from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from './parameter-meta.ts';

const MIN_BLOCK_BYTES = 2 ** 20;
/** Blocks beyond one for each tensor. The limit keeps the digests of a rank within half a megabyte. */
const MAX_BLOCKS = 65_536;

type Sized = Pick<ParameterMeta, 'sizeBytes'>;

/** Number of blocks of a tensor. */
export function blockCount(sizeBytes: number, blockBytes: number): number {
  return Math.ceil(sizeBytes / blockBytes);
}

/** The size of blocks for these tensors: equal for equal sizes. */
export function chooseBlockBytes(tensors: readonly Sized[]): number {
  const totalBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let blockBytes = MIN_BLOCK_BYTES;
  while (totalBytes / blockBytes > MAX_BLOCKS) blockBytes *= 2;
  return blockBytes;
}

/** For each tensor the index of its first block, and at the end the number of all blocks. */
export function firstBlocks(tensors: readonly Sized[], blockBytes: number): Float64Array {
  const first = new Float64Array(tensors.length + 1);
  for (const [index, { sizeBytes }] of tensors.entries()) {
    first[index + 1] = first[index]! + blockCount(sizeBytes, blockBytes);
  }
  return first;
}

/** The digest of each tensor of a rank, in the order of its metas. Undefined if the metas have no digests. */
export function tensorDigests({ tensors, digests }: RankMetas): bigint[] | undefined {
  if (digests === undefined) return undefined;
  const first = firstBlocks(tensors, digests.blockBytes);
  return tensors.map((_, index) => addDigests(digests.blocks.subarray(first[index], first[index + 1])));
}

/**
 * The digest of a whole checkpoint, as 32 hexadecimal digits. It covers names, dtypes, shapes and bytes, and does not
 * depend on the order of tensors or on the files and ranks that hold them.
 *
 * @returns Undefined if the metas of a rank have no digests.
 */
export function checkpointDigest(world: readonly RankMetas[]): string | undefined {
  const lines: [name: string, line: string][] = [];
  for (const metas of world) {
    const digests = tensorDigests(metas);
    if (digests === undefined) return undefined;
    for (const [index, { name, dtype, shape }] of metas.tensors.entries()) {
      lines.push([name, `${name}\0${dtype}\0${shape.join()}\0${digestText(digests[index]!)}\n`]);
    }
  }
  lines.sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256');
  for (const [, line] of lines) hash.update(line);
  return hash.digest('hex').slice(0, 32);
}
