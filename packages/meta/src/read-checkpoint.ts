import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { type CheckpointIndex, INDEX_NAME, invalidIndex, readCheckpointIndex } from './checkpoint-index.ts';
import { invalidFile, unreadableFile } from './file-errors.ts';
import { mapBounded } from './map-bounded.ts';
import { throwIfAborted } from './read-file.ts';
import { type ReadHeaderOptions, readSafetensorsHeader } from './read-safetensors-header.ts';
import type { CheckpointFile, TensorEntry } from './safetensors-file.ts';

const PENDING_HEADERS = 8;

/** The files of a checkpoint and all their tensors. */
export interface CheckpointFiles {
  readonly files: readonly CheckpointFile[];
  /** In the order of the files, then by offset. Names are unique. */
  readonly tensors: readonly TensorEntry[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  /** Where the source is a folder with an index. */
  readonly index?: CheckpointIndex | undefined;
  /** What looks wrong but does no harm, a sentence each. */
  readonly warnings: readonly string[];
}

/** Which files make up a checkpoint. */
interface Source {
  readonly paths: readonly string[];
  readonly index?: CheckpointIndex | undefined;
  readonly warnings: readonly string[];
}

/**
 * Reads the headers of a checkpoint.
 *
 * A folder is read by its `model.safetensors.index.json`, or, where it has none, all its `*.safetensors` files are, in
 * the order of their names. Index and shards have to agree on every tensor.
 *
 * @param source A folder, a safetensors file, or a list of safetensors files.
 * @throws `CE_CHECKPOINT_EMPTY` there is no file
 * @throws `CE_TENSOR_DUPLICATE` two files have a tensor of the same name
 * @throws `CE_TENSOR_MISSING` the index names a tensor that no shard has
 * @throws what {@link readSafetensorsHeader} throws, of the first file in order
 */
export async function readCheckpoint(
  source: string | readonly string[],
  options: ReadHeaderOptions = {},
): Promise<CheckpointFiles> {
  const { paths, index, warnings } = typeof source === 'string' ? await resolve(source, options.signal) : list(source);
  const files = await mapBounded(paths, PENDING_HEADERS, (path) => readSafetensorsHeader(path, options));
  const tensors = files.flatMap((file) => file.tensors);
  const byName = indexByName(tensors);
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  if (index === undefined) return { files, tensors, totalBytes, warnings };
  checkIndex(index, byName, source as string);
  return { files, tensors, totalBytes, index, warnings: [...warnings, ...checkTotalSize(index, totalBytes)] };
}

function list(paths: readonly string[]): Source {
  if (paths.length === 0) {
    throw new CheckpointEngineError('CE_CHECKPOINT_EMPTY', 'The list of files is empty', 'Name at least one file');
  }
  return { paths, warnings: [] };
}

async function resolve(path: string, signal: AbortSignal | undefined): Promise<Source> {
  throwIfAborted(signal, path);
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) return { paths: [path], warnings: [] };
    names = await readdir(path);
  } catch (error) {
    throw unreadableFile(path, error);
  }
  // Names with a dot in front are what systems and tools leave behind.
  const present = names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.')).sort();
  if (!names.includes(INDEX_NAME)) {
    if (present.length > 0) return { paths: present.map((name) => join(path, name)), warnings: [] };
    throw emptyFolder(path, `has no *.safetensors file among its ${names.length} entries`);
  }
  const index = await readCheckpointIndex(path, signal);
  const shards = [...new Set(index.weightMap.values())].sort();
  if (shards.length === 0) throw emptyFolder(path, 'has an index without a tensor');
  const others = present.filter((name) => !shards.includes(name));
  const warnings = others.map((name) => `File "${join(path, name)}" is left out: the index does not name it`);
  return { paths: shards.map((name) => join(path, name)), index, warnings };
}

function emptyFolder(path: string, what: string): CheckpointEngineError {
  return invalidFile(path, what, { code: 'CE_CHECKPOINT_EMPTY', hint: 'Name the folder that holds the weights' });
}

function indexByName(tensors: readonly TensorEntry[]): Map<string, TensorEntry> {
  const byName = new Map<string, TensorEntry>();
  for (const tensor of tensors) {
    const { name, path } = tensor;
    const other = byName.get(name);
    if (other !== undefined) {
      throw invalidFile(path, `is also in file "${other.path}", want each tensor once`, {
        code: 'CE_TENSOR_DUPLICATE',
        tensor: name,
        hint: 'Keep the files of one checkpoint only',
      });
    }
    byName.set(name, tensor);
  }
  return byName;
}

/** Checks both ways: the shards have what the map names, where it says, and the map names what the shards have. */
function checkIndex(index: CheckpointIndex, byName: ReadonlyMap<string, TensorEntry>, folder: string): void {
  for (const [name, shard] of index.weightMap) {
    const path = join(folder, shard);
    const tensor = byName.get(name);
    if (tensor === undefined) {
      throw invalidFile(path, `is not in this shard, where "${index.path}" places it`, {
        code: 'CE_TENSOR_MISSING',
        tensor: name,
        hint: 'Copy the shard and the index again, both of the same checkpoint',
      });
    }
    if (tensor.path !== path)
      throw invalidIndex(index.path, `is in "${tensor.path}", and the index says "${path}"`, name);
  }
  if (byName.size === index.weightMap.size) return;
  for (const [name, { path }] of byName) {
    if (!index.weightMap.has(name))
      throw invalidIndex(index.path, `is in "${path}", and the index does not name it`, name);
  }
}

function checkTotalSize({ path, totalSizeBytes }: CheckpointIndex, totalBytes: number): string[] {
  if (totalSizeBytes === undefined || totalSizeBytes === totalBytes) return [];
  return [`File "${path}" gives a total_size of ${totalSizeBytes} bytes, and the tensors have ${totalBytes}`];
}
