import type { FileRead } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import { type DigestBook, DigestTally, type TensorRange } from '../digests/digest-book.ts';
import { readUnchanged } from '../sources/read-unchanged.ts';
import type { StreamRegion } from '../sources/stream-region.ts';
import type { StreamedFile } from '../sources/streamed-file.ts';
import type { DigestReading } from './held-checkpoint.ts';
import type { PoolContext } from './pool-context.ts';

/** Enough for every thread of a device to have a part of it to read. */
const CHUNK_BYTES = 128 * 2 ** 20;

/** A checkpoint that streams. */
export interface StreamedCheckpoint {
  readonly regions: readonly StreamRegion[];
  readonly tensors: readonly ParameterMeta[];
  readonly hostMemoryBytes: number;
  readonly digests: DigestBook | undefined;
}

interface Chunk {
  readonly files: Set<StreamedFile>;
  readonly reads: FileRead[];
  readonly ranges: TensorRange[];
  sizeBytes: number;
}

/**
 * Reads those blocks of the files of a checkpoint that streams whose digests are not known.
 *
 * @throws `CE_FILE_*`, `CE_HOST_OUT_OF_MEMORY`
 */
export async function digestStream(
  { regions, tensors, hostMemoryBytes, digests }: StreamedCheckpoint,
  { acquirePool, releasePool, store, logger }: PoolContext,
  { signal, emit }: DigestReading,
): Promise<void> {
  if (digests === undefined) return;
  const chunks = chunksOf(regions, tensors, digests, Math.min(CHUNK_BYTES, hostMemoryBytes));
  const totalBytes = chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (totalBytes === 0) return;
  const memory = await acquirePool(Math.max(...chunks.map(({ sizeBytes }) => sizeBytes)));
  const { rank } = store;
  const tally = new DigestTally(digests, rank);
  let doneBytes = 0;
  try {
    for (const { reads, files, ranges, sizeBytes } of chunks) {
      await readUnchanged({ memory, reads, files, signal, logger, fields: { rank }, digest: { tally, ranges } });
      doneBytes += sizeBytes;
      emit({ type: 'register', rank, doneBytes, totalBytes, atMs: nowMs() });
    }
  } finally {
    releasePool(memory);
  }
}

function chunksOf(
  regions: readonly StreamRegion[],
  tensors: readonly ParameterMeta[],
  digests: DigestBook,
  chunkBytes: number,
): Chunk[] {
  const chunks: Chunk[] = [];
  for (const [tensor, { region, offsetBytes: at }] of tensors.entries()) {
    const { file } = regions[region]!;
    if (file === undefined) continue;
    for (const { fromBytes, toBytes } of digests.unknownOf(tensor)) {
      for (let position = fromBytes; position < toBytes; ) {
        let chunk = chunks.at(-1);
        if (chunk === undefined || chunk.sizeBytes === chunkBytes) {
          chunk = { files: new Set(), reads: [], ranges: [], sizeBytes: 0 };
          chunks.push(chunk);
        }
        const sizeBytes = Math.min(toBytes - position, chunkBytes - chunk.sizeBytes);
        const place = { offsetBytes: chunk.sizeBytes, sizeBytes };
        chunk.files.add(file);
        chunk.reads.push({ path: file.path, fileOffsetBytes: at + position, ...place });
        chunk.ranges.push({ tensor, positionBytes: position, ...place });
        chunk.sizeBytes += sizeBytes;
        position += sizeBytes;
      }
    }
  }
  return chunks;
}
