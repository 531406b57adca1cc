import type { HostMemory } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import { alignDown, DEFAULT_ALIGN_BYTES } from '@checkpoint-engine/planner';
import { DigestBook, DigestTally } from '../digests/digest-book.ts';
import type { FileSource } from '../registration.ts';
import type { BucketSource, SourceOptions } from '../sources/bucket-source.ts';
import { FileChunks } from '../sources/file-chunks.ts';
import { align } from '../sources/layout.ts';
import { PlacedFile } from '../sources/placed-file.ts';
import { ReadAheadSource } from '../sources/read-ahead-source.ts';
import { chunksOf } from '../sources/stream-chunk.ts';
import type { StreamRegion } from '../sources/stream-region.ts';
import { StreamedFile } from '../sources/streamed-file.ts';
import { digestInPlace } from './digest-in-place.ts';
import { digestStream } from './digest-stream.ts';
import { findShare, metaInFile, removableFiles } from './file-share.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import type { PoolContext } from './pool-context.ts';

const MIB = 2 ** 20;
const DEFAULT_HOST_MEMORY_BYTES = 2048 * MIB;
const MIN_HOST_MEMORY_BYTES = MIB;
/** The size of an ordinary bucket of a GPU: every thread of a device has a part of it to read. */
const CHUNK_BYTES = 128 * MIB;
/** Minimum number of chunks that the ring holds, so that some are read while others are copied. */
const CHUNKS = 4;

/**
 * Computes this rank's share of a checkpoint's files and leaves the bytes in the files: each update reads them again,
 * through a ring of host memory. Files on `/dev/shm` are pinned in place.
 *
 * Releases everything before it rejects.
 */
export async function holdStream(source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const hostMemoryBytes = source.hostMemoryBytes ?? DEFAULT_HOST_MEMORY_BYTES;
  if (!Number.isSafeInteger(hostMemoryBytes) || hostMemoryBytes < MIN_HOST_MEMORY_BYTES) {
    throw new RangeError(`hostMemoryBytes is ${hostMemoryBytes}, expected ${MIN_HOST_MEMORY_BYTES} or more`);
  }
  const share = await findShare(source, context);
  const regions: StreamRegion[] = [];
  const tensors: ParameterMeta[] = [];
  const mapped: HostMemory[] = [];
  const release = (): void => {
    for (const memory of mapped) memory.close();
  };
  try {
    for (const file of share.files) {
      const own = share.tensors.filter(({ path }) => path === file.path);
      if (own.length === 0) continue;
      const region = regions.length;
      if (share.inPlacePaths.has(file.path)) {
        const placed = await PlacedFile.open(context.device, file);
        const { memory } = placed;
        mapped.push(memory);
        regions.push({ sizeBytes: memory.sizeBytes, memory, placed });
      } else {
        regions.push({ sizeBytes: file.sizeBytes, file: new StreamedFile(file) });
      }
      tensors.push(...own.map((tensor) => metaInFile(tensor, region)));
    }
    const digests = context.digests ? new DigestBook(tensors) : undefined;
    const tally = digests && new DigestTally(digests, context.store.rank);
    const digesting = tally && digestInPlace(regions, tensors, tally, context);
    return {
      regions,
      tensors,
      ...{ digests, digesting },
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: mapped.reduce((sum, memory) => sum + memory.sizeBytes, 0),
      hostMemoryBytes,
      warnings: share.warnings,
      sharedFiles: source.share === 'all' ? undefined : share.files,
      removableFiles: removableFiles(share, source),
      readDigests: async (options) => {
        await untilAborted(digesting ?? Promise.resolve(), options.signal);
        if (digests?.complete === undefined)
          await digestStream({ regions, tensors, hostMemoryBytes, digests }, context, options);
      },
      openSource: (options) => openStream(regions, hostMemoryBytes, digests, context, options),
      close: async () => release(),
    };
  } catch (error) {
    release();
    throw error;
  }
}

async function openStream(
  regions: readonly StreamRegion[],
  hostMemoryBytes: number,
  digests: DigestBook | undefined,
  context: PoolContext,
  options: SourceOptions,
): Promise<BucketSource> {
  for (const { placed } of regions) await placed?.checkUnchanged();
  const chunkBytes = Math.min(CHUNK_BYTES, alignedDown(hostMemoryBytes / CHUNKS));
  const chunks = chunksOf(options.buckets, options.metas, regions, chunkBytes);
  const allBytes = chunks.reduce((sum, { ringBytes }) => sum + align(ringBytes), 0);
  const memory = await context.acquirePool(Math.min(hostMemoryBytes, allBytes));
  const tally = digests && options.verifies ? new DigestTally(digests, options.metas.rank) : undefined;
  const files = new FileChunks(regions, memory, options, tally);
  const release = (): void => context.releasePool(memory);
  return new ReadAheadSource(files, chunks, memory, release, { ...options, rank: options.metas.rank });
}

const alignedDown = (bytes: number): number => alignDown(bytes, DEFAULT_ALIGN_BYTES);
