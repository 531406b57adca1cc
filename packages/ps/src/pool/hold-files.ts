import type { FileRead } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { ParameterMeta, TensorEntry } from '@checkpoint-engine/meta';
import { orderByAffinity } from '@checkpoint-engine/planner';
import { DigestBook, DigestTally } from '../digests/digest-book.ts';
import { rangesWithin } from '../digests/ranges-within.ts';
import type { FileSource } from '../registration.ts';
import { FillingSource } from '../sources/filling-source.ts';
import { layOut } from '../sources/layout.ts';
import { PlacedFile } from '../sources/placed-file.ts';
import { PoolFill } from '../sources/pool-fill.ts';
import { partsOf } from '../sources/pool-part.ts';
import { type PoolRegion, PoolSource } from '../sources/pool-source.ts';
import { readUnchanged } from '../sources/read-unchanged.ts';
import { StreamedFile } from '../sources/streamed-file.ts';
import { digestInPlace } from './digest-in-place.ts';
import { copiedForPeers, type FileShare, filesInPlace, findShare, removableFiles } from './file-share.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import type { PoolContext } from './pool-context.ts';

/** The unit of pinning on a CUDA device: at other boundaries the driver would fault pages in. */
const PINNED_PART_BYTES = 256 * 2 ** 20;
/** A smaller unit without pinning, so that the first bucket waits less. */
const PART_BYTES = 32 * 2 ** 20;

/**
 * Reads this rank's share of a checkpoint's files into host memory. Files on `/dev/shm` stay there and are pinned in
 * place, unless peers could not read them; all other files are read into one pool, in the background if the source asks
 * for it. Tensors that are sent together are adjacent in the pool.
 *
 * Releases everything before it rejects.
 */
export async function holdFiles(source: FileSource, context: PoolContext): Promise<HeldCheckpoint> {
  const found = await findShare(source, context);
  const share = context.copiesForPeers ? copiedForPeers(found) : found;
  const pooled = orderByAffinity(share.tensors.filter(({ path }) => !share.inPlacePaths.has(path)));
  const { metas, sizeBytes: poolSize } = layOut(pooled, 0);
  const tensors: ParameterMeta[] = [...metas];
  const regions: PoolRegion[] = [];
  const hasPool = pooled.length > 0;
  let fill: PoolFill | undefined;
  const inPlace = filesInPlace(share, hasPool ? 1 : 0);
  tensors.push(...inPlace.flatMap((file) => file.tensors));
  const digests = context.digests ? new DigestBook(tensors) : undefined;
  const tally = digests && new DigestTally(digests, context.store.rank);
  const digestOf = tally && ((from: number, to: number) => ({ tally, ranges: rangesWithin(metas, from, to) }));
  const release = (): void => {
    for (const { memory } of regions.slice(hasPool ? 1 : 0)) memory.close();
    if (hasPool && regions.length > 0) context.releasePool(regions[0]!.memory);
  };
  const close = async (): Promise<void> => (fill === undefined ? release() : fill.close(release));
  try {
    if (hasPool) {
      const memory = await context.acquirePool(poolSize);
      regions.push({ memory });
      const reads = fileReads(pooled, metas);
      const files = streamedFiles(share, pooled);
      const { store, logger, signal } = context;
      if (source.load === 'background') {
        const partBytes = context.device.supports.pinning ? PINNED_PART_BYTES : PART_BYTES;
        fill = new PoolFill({ memory, parts: partsOf(reads, partBytes), files, rank: store.rank, logger, digestOf });
      } else {
        const pooledBytes = pooled.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
        const onProgress = (doneBytes: number): void => context.onProgress(doneBytes, pooledBytes);
        const fields = { rank: store.rank };
        const digest = digestOf?.(0, memory.sizeBytes);
        await readUnchanged({ memory, reads, files: files.values(), signal, onProgress, logger, fields, digest });
      }
    }
    for (const { file } of inPlace) {
      const placed = await PlacedFile.open(context.device, file);
      regions.push({ memory: placed.memory, placed });
    }
    fill?.start();
    const digesting = tally && digestInPlace(inPlace.length > 0 ? regions : [], tensors, tally, context);
    return {
      regions: regions.map(({ memory, placed }) => ({ sizeBytes: memory.sizeBytes, memory, placed })),
      tensors,
      sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
      poolBytes: regions.reduce((sum, { memory }) => sum + memory.sizeBytes, 0),
      warnings: share.warnings,
      sharedFiles: source.share === 'all' ? undefined : share.files,
      removableFiles: removableFiles(share, source),
      ...{ fill, digests, digesting },
      // Waits for all digests. An update does not need all of them, and does not wait.
      readDigests: async ({ signal }) => {
        await untilAborted(Promise.all([fill?.loaded(), digesting]), signal);
      },
      openSource: async (options) => {
        const pool = await PoolSource.open(regions, options);
        return fill === undefined ? pool : new FillingSource(pool, fill, options);
      },
      close,
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** The files of these tensors, in the state in which their headers were read. */
function streamedFiles({ files }: FileShare, tensors: readonly TensorEntry[]): Map<string, StreamedFile> {
  const wanted = new Set(tensors.map(({ path }) => path));
  return new Map(files.filter(({ path }) => wanted.has(path)).map((file) => [file.path, new StreamedFile(file)]));
}

function fileReads(entries: readonly TensorEntry[], metas: readonly ParameterMeta[]): FileRead[] {
  return entries.map(({ path, fileOffsetBytes, sizeBytes }, index) => ({
    path,
    fileOffsetBytes,
    sizeBytes,
    offsetBytes: metas[index]!.offsetBytes,
  }));
}
