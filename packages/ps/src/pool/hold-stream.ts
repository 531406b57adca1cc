import type { HostMemory } from '@checkpoint-engine/interface';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import { formatBytes } from '@checkpoint-engine/planner';
import type { FileSource } from '../server/api.ts';
import type { BucketSource, SourceOptions } from '../update/bucket-source.ts';
import { Ring } from '../update/ring.ts';
import type { StreamRegion } from '../update/stream-region.ts';
import { StreamSource } from '../update/stream-source.ts';
import { StreamedFile } from '../update/streamed-file.ts';
import { findShare, metaInFile, removeInPlace } from './file-share.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import { align } from './layout.ts';
import type { PoolContext } from './pool-context.ts';

const DEFAULT_HOST_MEMORY_BYTES = 2 * 2 ** 30;

/**
 * Finds this rank's share of a checkpoint's files and leaves the bytes where they are: each update reads them anew,
 * through a ring of host memory. Files on `/dev/shm` are pinned in place.
 *
 * Nothing is held when it rejects.
 */
export async function holdStream(name: string, source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const hostMemoryBytes = source.hostMemoryBytes ?? DEFAULT_HOST_MEMORY_BYTES;
  if (!Number.isSafeInteger(hostMemoryBytes) || hostMemoryBytes < 1) {
    throw new RangeError(`hostMemoryBytes is ${hostMemoryBytes}, wanted a whole number above 0`);
  }
  const share = await findShare(name, source, context);
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
        const memory = await context.device.mapFile(file.path);
        mapped.push(memory);
        await memory.pin();
        regions.push({ sizeBytes: memory.sizeBytes, memory });
      } else {
        regions.push({ sizeBytes: file.sizeBytes, file: await StreamedFile.observe(file) });
      }
      tensors.push(...own.map((tensor) => metaInFile(tensor, region)));
    }
    return {
      regions,
      tensors,
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: mapped.reduce((sum, memory) => sum + memory.sizeBytes, 0),
      warnings: share.warnings,
      removableFiles: await removeInPlace(share, source, context),
      openSource: (options) => openStream(regions, hostMemoryBytes, context, options),
      close: release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

async function openStream(
  regions: readonly StreamRegion[],
  hostMemoryBytes: number,
  context: PoolContext,
  options: SourceOptions,
): Promise<BucketSource> {
  const { buckets, metas, logger } = options;
  const isRead = ({ region, sizeBytes }: ParameterMeta): boolean =>
    sizeBytes > 0 && regions[region]!.file !== undefined;
  const sizes = buckets
    .filter(({ sizeBytes }) => sizeBytes > 0)
    .map(({ firstTensor, tensorCount, sizeBytes }) =>
      metas.tensors.slice(firstTensor, firstTensor + tensorCount).some(isRead) ? sizeBytes : 0,
    );
  const largestBytes = align(Math.max(0, ...sizes));
  if (largestBytes > hostMemoryBytes) {
    logger.warn(
      { rank: metas.rank },
      `The largest bucket takes ${formatBytes(largestBytes)} of host memory, more than the ${formatBytes(hostMemoryBytes)} allowed: reading does not run ahead of it`,
    );
  }
  const allBytes = sizes.reduce((sum, sizeBytes) => sum + align(sizeBytes), 0);
  const memory = await context.acquirePool(Math.max(largestBytes, Math.min(hostMemoryBytes, allBytes)));
  return new StreamSource(regions, new Ring(memory, sizes), () => context.releasePool(memory), options);
}
