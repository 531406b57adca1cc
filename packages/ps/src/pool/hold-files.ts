import type { FileRead, HostMemory } from '@checkpoint-engine/interface';
import type { ParameterMeta, TensorEntry } from '@checkpoint-engine/meta';
import { orderByAffinity } from '@checkpoint-engine/planner';
import type { FileSource } from '../api.ts';
import { FillingSource } from '../sources/filling-source.ts';
import { layOut } from '../sources/layout.ts';
import { PoolFill } from '../sources/pool-fill.ts';
import { partsOf } from '../sources/pool-part.ts';
import { PoolSource } from '../sources/pool-source.ts';
import { StreamedFile } from '../sources/streamed-file.ts';
import { copiedForPeers, type FileShare, findShare, metaInFile, removableFiles } from './file-share.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import type { PoolContext } from './pool-context.ts';

/** What a CUDA device pins at a time: a part that ends elsewhere would have the driver fault pages in. */
const PINNED_PART_BYTES = 256 * 2 ** 20;
/** Where nothing is pinned, the first bucket need not wait for so much. */
const PART_BYTES = 32 * 2 ** 20;

/**
 * Brings this rank's share of a checkpoint's files into host memory. Files on `/dev/shm` stay where they are and are
 * pinned in place, unless peers could not read them so; all others are read into one pool, in the background where the
 * source says so. The pool holds tensors that travel together in one piece.
 *
 * Nothing is held when it rejects.
 */
export async function holdFiles(name: string, source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const found = await findShare(name, source, context);
  const share = context.copiesForPeers ? copiedForPeers(found) : found;
  const pooled = orderByAffinity(share.tensors.filter(({ path }) => !share.inPlacePaths.has(path)));
  const { metas, sizeBytes: poolSize } = layOut(pooled, 0);
  const tensors: ParameterMeta[] = metas;
  const regions: HostMemory[] = [];
  const hasPool = pooled.length > 0;
  let fill: PoolFill | undefined;
  const release = (): void => {
    for (const region of regions.slice(hasPool ? 1 : 0)) region.close();
    if (hasPool && regions.length > 0) context.releasePool(regions[0]!);
  };
  const close = async (): Promise<void> => (fill === undefined ? release() : fill.close(release));
  try {
    if (hasPool) {
      const reads = fileReads(pooled, metas);
      const files = source.load === 'background' ? await observe(share, pooled) : undefined;
      const memory = await context.acquirePool(poolSize);
      regions.push(memory);
      const { signal, onProgress } = context;
      const pooledBytes = pooled.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
      if (files === undefined) {
        await memory.read(reads, { signal, onProgress: (done) => onProgress(done, pooledBytes) });
      } else {
        const partBytes = context.device.supports.pinning ? PINNED_PART_BYTES : PART_BYTES;
        const { store, logger } = context;
        fill = new PoolFill({ memory, parts: partsOf(reads, partBytes), files, rank: store.rank, logger });
      }
    }
    for (const path of share.inPlacePaths) {
      const own = share.tensors.filter((tensor) => tensor.path === path);
      if (own.length > 0) {
        const region = regions.length;
        regions.push(await context.device.mapFile(path));
        await regions[region]!.pin();
        tensors.push(...own.map((tensor) => metaInFile(tensor, region)));
      }
    }
    fill?.start();
    return {
      regions: regions.map((memory) => ({ sizeBytes: memory.sizeBytes, memory })),
      tensors,
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: regions.reduce((sum, region) => sum + region.sizeBytes, 0),
      warnings: share.warnings,
      removable: removableFiles(share, source, context),
      fill,
      openSource: async (options) => {
        const pool = new PoolSource(regions, options);
        return fill === undefined ? pool : new FillingSource(pool, fill, options);
      },
      close,
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** The files of these tensors as they are now. */
async function observe(
  { files }: FileShare,
  tensors: readonly TensorEntry[],
): Promise<ReadonlyMap<string, StreamedFile>> {
  const wanted = new Set(tensors.map(({ path }) => path));
  const observed = new Map<string, StreamedFile>();
  for (const file of files) {
    if (wanted.has(file.path)) observed.set(file.path, await StreamedFile.observe(file));
  }
  return observed;
}

function fileReads(entries: readonly TensorEntry[], metas: readonly ParameterMeta[]): FileRead[] {
  return entries.map(({ path, fileOffsetBytes, sizeBytes }, index) => ({
    path,
    fileOffsetBytes,
    sizeBytes,
    offsetBytes: metas[index]!.offsetBytes,
  }));
}
