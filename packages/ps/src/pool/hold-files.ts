import { realpath, rm } from 'node:fs/promises';
import { CheckpointEngineError, type FileRead, type HostMemory, type Store } from '@checkpoint-engine/interface';
import { type ParameterMeta, readCheckpoint, type TensorEntry } from '@checkpoint-engine/meta';
import { balanceByBytes } from '@checkpoint-engine/planner';
import type { FileSource } from '../server/api.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import { layOut } from './layout.ts';
import type { PoolContext } from './pool-context.ts';

const IN_PLACE_FOLDER = '/dev/shm/';

/**
 * Brings this rank's share of a checkpoint's files into host memory. Files on `/dev/shm` stay where they are and are
 * pinned in place; all others are read into one pool.
 *
 * Nothing is held when it rejects.
 */
export async function holdFiles(name: string, source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const { store, signal } = context;
  const checkpoint = await readCheckpoint(source.files, { signal });
  if (checkpoint.tensors.length === 0) {
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_EMPTY',
      `Checkpoint "${name}" has no tensors in ${checkpoint.files.length} files`,
      'Name a folder or files that hold safetensors with weights',
    );
  }
  const share = source.share === 'all' ? checkpoint.tensors : ownShare(checkpoint.tensors, store);
  const inPlacePaths =
    source.inPlace === false ? new Set<string>() : await onDevShm(checkpoint.files.map((file) => file.path));

  const pooled = share.filter((tensor) => !inPlacePaths.has(tensor.path));
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
      await memory.read(fileReads(pooled, metas), { signal, onProgress: (done) => context.onProgress(done, poolSize) });
    }
    for (const path of inPlacePaths) {
      const own = share.filter((tensor) => tensor.path === path);
      if (own.length > 0) {
        const region = regions.length;
        regions.push(await context.device.mapFile(path));
        await regions[region]!.pin();
        tensors.push(...own.map((tensor) => inPlaceMeta(tensor, region)));
      }
    }
    const isShared = source.share !== 'all' && store.worldSize > 1;
    if (source.keepFiles !== true && !isShared) await removeFiles(inPlacePaths);
    return {
      regions,
      tensors,
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: regions.reduce((sum, region) => sum + region.sizeBytes, 0),
      warnings: checkpoint.warnings,
      removableFiles: source.keepFiles !== true && isShared ? [...inPlacePaths] : [],
      close: release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

function ownShare(tensors: readonly TensorEntry[], { rank, worldSize }: Store): TensorEntry[] {
  const owners = balanceByBytes(tensors, worldSize);
  return tensors.filter((_, index) => owners[index] === rank);
}

async function onDevShm(paths: readonly string[]): Promise<Set<string>> {
  const real = await Promise.all(paths.map((path) => realpath(path)));
  return new Set(paths.filter((_, index) => real[index]!.startsWith(IN_PLACE_FOLDER)));
}

function fileReads(entries: readonly TensorEntry[], metas: readonly ParameterMeta[]): FileRead[] {
  return entries.map(({ path, fileOffsetBytes, sizeBytes }, index) => ({
    path,
    fileOffsetBytes,
    sizeBytes,
    offsetBytes: metas[index]!.offsetBytes,
  }));
}

function inPlaceMeta({ name, dtype, shape, sizeBytes, fileOffsetBytes }: TensorEntry, region: number): ParameterMeta {
  return { name, dtype, shape, sizeBytes, region, offsetBytes: fileOffsetBytes };
}

/** Unlinks files; one that another rank of this host unlinked already is fine. Their mappings keep the bytes. */
export async function removeFiles(paths: Iterable<string>): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
}
