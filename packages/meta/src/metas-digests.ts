import { firstBlocks } from './block-digests.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import type { DigestColumn } from './metas-columns.ts';
import { invalidMetas } from './metas-error.ts';
import type { RankMetas } from './parameter-meta.ts';

const MIN_BLOCK_BYTES = 4096;
const DIGEST_BYTES = 8;

/**
 * The digests of all ranks as a column, or undefined if no rank has any.
 *
 * @throws `CE_METAS_INVALID` Their number does not match the tensors, or the size of blocks is not a power of 2.
 */
export function encodeDigests(world: readonly RankMetas[]): DigestColumn | undefined {
  if (world.every(({ digests }) => digests === undefined)) return undefined;
  const writer = new ByteWriter();
  for (const metas of world) {
    const { digests } = metas;
    writer.natural(digests?.blockBytes ?? 0);
    if (digests === undefined) continue;
    checkDigests(metas);
    const bytes = new Uint8Array(digests.blocks.length * DIGEST_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [index, digest] of digests.blocks.entries()) view.setBigUint64(index * DIGEST_BYTES, digest, true);
    writer.bytes(bytes);
  }
  return writer.view().slice();
}

/** Checks that the digests of a rank fit its tensors. @throws `CE_METAS_INVALID` */
export function checkDigests(metas: RankMetas): void {
  if (metas.digests === undefined) return;
  const { blockBytes, blocks } = metas.digests;
  const count = countBlocks(metas, blockBytes);
  if (blocks.length === count) return;
  throw invalidMetas(`rank ${metas.rank} has digests of ${blocks.length} blocks, expected ${count}`);
}

/** Adds the digests of a column to metas. @throws `CE_METAS_INVALID` */
export function withDigests(world: readonly RankMetas[], column: DigestColumn): RankMetas[] {
  const reader = new ByteReader(column, 'the digest column');
  const all = world.map((metas) => {
    const blockBytes = reader.natural();
    if (blockBytes === 0) return metas;
    const bytes = reader.bytes(countBlocks(metas, blockBytes) * DIGEST_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const blocks = new BigUint64Array(bytes.byteLength / DIGEST_BYTES);
    for (const index of blocks.keys()) blocks[index] = view.getBigUint64(index * DIGEST_BYTES, true);
    return { ...metas, digests: { blockBytes, blocks } };
  });
  reader.end();
  return all;
}

function countBlocks({ rank, tensors }: RankMetas, blockBytes: number): number {
  if (!(blockBytes >= MIN_BLOCK_BYTES) || !Number.isSafeInteger(Math.log2(blockBytes))) {
    throw invalidMetas(`rank ${rank} has digests of blocks of ${blockBytes} bytes, expected a power of 2 from 4096`);
  }
  return firstBlocks(tensors, blockBytes).at(-1)!;
}
