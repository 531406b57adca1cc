import type { FileRead, HostMemory } from '@checkpoint-engine/interface';
import type { ParameterMeta, TensorEntry } from '@checkpoint-engine/meta';
import type { FileSource } from '../server/api.ts';
import { PoolSource } from '../update/pool-source.ts';
import { findShare, metaInFile, removeInPlace } from './file-share.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import { layOut } from './layout.ts';
import type { PoolContext } from './pool-context.ts';

/**
 * Brings this rank's share of a checkpoint's files into host memory. Files on `/dev/shm` stay where they are and are
 * pinned in place; all others are read into one pool.
 *
 * Nothing is held when it rejects.
 */
export async function holdFiles(name: string, source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const share = await findShare(name, source, context);
  const pooled = share.tensors.filter(({ path }) => !share.inPlacePaths.has(path));
  const { metas, sizeBytes: poolSize } = layOut(pooled, 0);
  const tensors: ParameterMeta[] = metas;
  const regions: HostMemory[] = [];
  const hasPool = pooled.length > 0;
  const release = (): void => {
    for (const region of regions.slice(hasPool ? 1 : 0)) region.close();
    if (hasPool && regions.length > 0) context.releasePool(regions[0]!);
  };
  try {
    if (hasPool) {
      const memory = await context.acquirePool(poolSize);
      regions.push(memory);
      const { signal, onProgress } = context;
      await memory.read(fileReads(pooled, metas), { signal, onProgress: (done) => onProgress(done, poolSize) });
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
    return {
      regions: regions.map((memory) => ({ sizeBytes: memory.sizeBytes, memory })),
      tensors,
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: regions.reduce((sum, region) => sum + region.sizeBytes, 0),
      warnings: share.warnings,
      removableFiles: await removeInPlace(share, source, context),
      openSource: async (options) => new PoolSource(regions, options),
      close: release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

function fileReads(entries: readonly TensorEntry[], metas: readonly ParameterMeta[]): FileRead[] {
  return entries.map(({ path, fileOffsetBytes, sizeBytes }, index) => ({
    path,
    fileOffsetBytes,
    sizeBytes,
    offsetBytes: metas[index]!.offsetBytes,
  }));
}
