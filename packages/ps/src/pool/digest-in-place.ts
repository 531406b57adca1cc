import type { ParameterMeta } from '@checkpoint-engine/meta';
import type { DigestTally, TensorRange } from '../digests/digest-book.ts';
import { digestMemory } from '../digests/digest-memory.ts';
import type { PlacedFile } from '../sources/placed-file.ts';
import type { PoolContext } from './pool-context.ts';

/** Bytes that are digested at a time, so that other work of the device's threads is not delayed. */
const PART_BYTES = 256 * 2 ** 20;

/**
 * Digests files that are used in place, after registration: nothing else reads their bytes. Never rejects: bytes that
 * cannot be digested are not verified, and the log has the reason.
 */
export async function digestInPlace(
  regions: readonly { readonly placed?: PlacedFile | undefined }[],
  tensors: readonly ParameterMeta[],
  tally: DigestTally,
  { logger, store }: Pick<PoolContext, 'logger' | 'store'>,
): Promise<void> {
  for (const [index, { placed }] of regions.entries()) {
    if (placed === undefined) continue;
    const { memory } = placed;
    try {
      for (const ranges of partsOf(tensors, index)) {
        const request = tally.requestOf(ranges);
        tally.add(request, await digestMemory(memory, request));
      }
      await placed.checkUnchanged();
    } catch (error) {
      // The memory of a checkpoint that is unregistered meanwhile is closed.
      if (memory.address === 0n) return;
      logger.warn({ rank: store.rank, file: placed.path, err: error }, 'A file in place cannot be digested');
    }
  }
}

function partsOf(tensors: readonly ParameterMeta[], region: number): TensorRange[][] {
  const parts: TensorRange[][] = [];
  let filled = PART_BYTES;
  for (const [tensor, meta] of tensors.entries()) {
    if (meta.region !== region) continue;
    for (let position = 0; position < meta.sizeBytes; ) {
      if (filled >= PART_BYTES) {
        parts.push([]);
        filled = 0;
      }
      const sizeBytes = Math.min(meta.sizeBytes - position, PART_BYTES - filled);
      parts.at(-1)!.push({ tensor, positionBytes: position, offsetBytes: meta.offsetBytes + position, sizeBytes });
      position += sizeBytes;
      filled += sizeBytes;
    }
  }
  return parts;
}
