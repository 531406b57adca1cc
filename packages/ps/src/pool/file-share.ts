import { realpath } from 'node:fs/promises';
import type { Store } from '@checkpoint-engine/interface';
import {
  type CheckpointFile,
  type ParameterMeta,
  readCheckpoint,
  type TensorEntry,
  unreadableFile,
} from '@checkpoint-engine/meta';
import { balanceByBytes } from '@checkpoint-engine/planner';
import type { FileSource } from '../registration.ts';
import type { PoolContext } from './pool-context.ts';
import type { RemovableFile } from './remove-file.ts';

const IN_PLACE_FOLDER = '/dev/shm/';

/** The share of a checkpoint's files that a rank owns, from their headers. */
export interface FileShare {
  readonly files: readonly CheckpointFile[];
  /** The tensors of this rank, in the order of the files, then by offset. */
  readonly tensors: readonly TensorEntry[];
  /** Files on `/dev/shm` to use in place. */
  readonly inPlacePaths: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

/** Reads the headers and computes this rank's share. @throws `CE_FILE_*`, `CE_TENSOR_*`, `CE_CHECKPOINT_EMPTY` */
export async function findShare(source: FileSource, { store, signal }: PoolContext): Promise<FileShare> {
  const isPart = source.share === 'all';
  const { files, tensors, warnings } = await readCheckpoint(source.files, { signal, isPart });
  return {
    files,
    tensors: source.share === 'all' ? tensors : ownShare(tensors, store),
    inPlacePaths: source.inPlace === false ? new Set() : await onDevShm(files.map(({ path }) => path)),
    warnings,
  };
}

function ownShare(tensors: readonly TensorEntry[], { rank, worldSize }: Store): TensorEntry[] {
  const owners = balanceByBytes(tensors, worldSize);
  return tensors.filter((_, index) => owners[index] === rank);
}

async function onDevShm(paths: readonly string[]): Promise<Set<string>> {
  const real = await Promise.all(
    paths.map((path) =>
      realpath(path).catch(async (error: unknown) => {
        throw await unreadableFile(path, error);
      }),
    ),
  );
  return new Set(paths.filter((_, index) => real[index]!.startsWith(IN_PLACE_FOLDER)));
}

/** The same share with no file used in place, for peers that could not read such files. */
export function copiedForPeers(share: FileShare): FileShare {
  const { size } = share.inPlacePaths;
  if (size === 0) return share;
  const warning =
    `Files on /dev/shm (${size}) are copied and stay there, so they take twice their size: peers cannot read them in ` +
    'place. Remove them, or put checkpoints that peers read on a disk';
  return { ...share, inPlacePaths: new Set(), warnings: [...share.warnings, warning] };
}

/** The meta of a tensor in a region that is its complete file. */
export function metaInFile(
  { name, dtype, shape, sizeBytes, fileOffsetBytes }: TensorEntry,
  region: number,
): ParameterMeta {
  return { name, dtype, shape, sizeBytes, region, offsetBytes: fileOffsetBytes };
}

/** A file that is used in place, and the tensors that this rank owns in it. */
export interface FileInPlace {
  readonly file: CheckpointFile;
  readonly tensors: readonly ParameterMeta[];
}

/** The files that are used in place and have tensors of this rank. @param region Region of the first of them. */
export function filesInPlace(share: FileShare, region: number): FileInPlace[] {
  const found: FileInPlace[] = [];
  for (const file of share.files) {
    if (!share.inPlacePaths.has(file.path)) continue;
    const own = share.tensors.filter(({ path }) => path === file.path);
    const tensors = own.map((tensor) => metaInFile(tensor, region + found.length));
    if (tensors.length > 0) found.push({ file, tensors });
  }
  return found;
}

/** The files to remove after use in place, including those of which other ranks of this host own a share. */
export function removableFiles({ files, inPlacePaths }: FileShare, { keepFiles }: FileSource): RemovableFile[] {
  return keepFiles === true ? [] : files.filter(({ path }) => inPlacePaths.has(path));
}
