import { readdir, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { type CheckpointIndex, INDEX_NAME, invalidIndex, readCheckpointIndex } from './checkpoint-index.ts';
import { chooseFiles, listed } from './choose-files.ts';
import { emptyFolder } from './empty-folder.ts';
import { invalidFile, unreadableFile } from './file-errors.ts';
import { mapBounded } from './map-bounded.ts';
import { throwIfAborted } from './read-file.ts';
import { type ReadHeaderOptions, readSafetensorsHeader } from './read-safetensors-header.ts';
import type { CheckpointFile, TensorEntry } from './safetensors-file.ts';
import { incompleteSets } from './shard-sets.ts';

const PENDING_HEADERS = 8;
/** Begins the name of a file on its way to removal, which a killed process leaves behind. */
export const REMOVED_PREFIX = '.checkpoint-engine-removed-';
/** Matches the names of files that a tool has not finished writing. */
const UNFINISHED = /\.safetensors\.(incomplete|part|partial|crdownload|download|aria2)$/i;

/** The ending of the control file that aria2 keeps for each download in progress. */
const ARIA2 = '.aria2';

/** Options of {@link readCheckpoint}. */
export interface ReadCheckpointOptions extends ReadHeaderOptions {
  /** Whether the files are one part of a checkpoint, so that missing shards cause no warning. @default false */
  readonly isPart?: boolean | undefined;
}

/** The files of a checkpoint and all their tensors. */
export interface CheckpointFiles {
  readonly files: readonly CheckpointFile[];
  /** In the order of the files, then by offset. Names are unique. */
  readonly tensors: readonly TensorEntry[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  /** Present if the source is a folder with an index. */
  readonly index?: CheckpointIndex | undefined;
  /** Warnings that do not prevent reading, one sentence each. */
  readonly warnings: readonly string[];
}

/** The files that make up a checkpoint. */
interface Source {
  readonly paths: readonly string[];
  readonly index?: CheckpointIndex | undefined;
  readonly warnings: readonly string[];
}

/**
 * Reads the headers of a checkpoint.
 *
 * The function reads a folder by its `model.safetensors.index.json` or, without one, by the names of its
 * `*.safetensors` files, see `chooseFiles`. Index and shards must agree on every tensor.
 *
 * @param source A folder, a safetensors file, or a list of safetensors files.
 * @throws `CE_CHECKPOINT_EMPTY` there is no file, or the files have no tensors
 * @throws `CE_FILE_NOT_FOUND` naming all shards that are missing
 * @throws `CE_TENSOR_DUPLICATE` two files have a tensor with the same name
 * @throws `CE_TENSOR_MISSING` the index names a tensor that no shard has
 * @throws the errors of {@link readSafetensorsHeader}, for the first faulty file in order
 */
export async function readCheckpoint(
  source: string | readonly string[],
  options: ReadCheckpointOptions = {},
): Promise<CheckpointFiles> {
  const { paths, index, warnings } =
    typeof source === 'string' ? await resolve(source, options.signal) : list(source, options);
  const files = await mapBounded(paths, PENDING_HEADERS, (path) => readSafetensorsHeader(path, options));
  const tensors = files.flatMap((file) => file.tensors);
  if (tensors.length === 0) throw withoutTensors(typeof source === 'string' ? source : source[0]!, files.length);
  const byName = indexByName(tensors);
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const all = [...warnings, ...adapterWarnings(tensors)];
  if (index === undefined) return { files, tensors, totalBytes, warnings: all };
  checkIndex(index, byName, source as string);
  return { files, tensors, totalBytes, index, warnings: [...all, ...checkTotalSize(index, totalBytes)] };
}

/**
 * Lists the existing files of a checkpoint, so that a caller can inspect each of them after {@link readCheckpoint}
 * rejected. The list leaves out files that an index places outside of the folder.
 */
export async function listCheckpointFiles(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const present = safetensorsOf(await readdir(path));
    const { weightMap } = await readCheckpointIndex(path).catch(() => ({ weightMap: new Map<string, string>() }));
    const names = [...new Set([...present, ...weightMap.values()])].sort();
    const missing = await missingOf(path, names);
    return names.filter((name) => !missing.has(name)).map((name) => join(path, name));
  } catch {
    // The error that made the caller ask reports it.
    return [];
  }
}

function list(paths: readonly string[], { isPart = false }: ReadCheckpointOptions): Source {
  if (paths.length === 0) {
    throw new CheckpointEngineError('CE_CHECKPOINT_EMPTY', 'The list of files is empty', 'Pass at least one file');
  }
  const sets = isPart ? [] : incompleteSets(paths.map((path) => basename(path)));
  const warnings = sets.flatMap(({ missing, missingCount, total }) =>
    missingCount > 0 ? [`The list lacks ${missingCount} of ${total} shards: ${listed(missing, missingCount)}`] : [],
  );
  return { paths, warnings };
}

async function resolve(path: string, signal: AbortSignal | undefined): Promise<Source> {
  throwIfAborted(signal, path);
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) return { paths: [path], warnings: onePart(path) };
    names = await readdir(path);
  } catch (error) {
    throw await unreadableFile(path, error);
  }
  const present = safetensorsOf(names);
  const controls = new Set(names.filter((name) => name.endsWith(ARIA2)));
  const unfinished = names
    .filter((name) => UNFINISHED.test(name))
    .map((name) => `File "${join(path, name)}" is left out: its download has not finished`);
  const removed = names
    .filter((name) => name.startsWith(REMOVED_PREFIX))
    .map((name) => `File "${join(path, name)}" was not removed completely: delete it, unless an update is running`);
  const leftOver = [...unfinished, ...removed];
  if (!names.includes(INDEX_NAME)) {
    if (present.length === 0) throw emptyFolder(path, names);
    const { names: chosen, warnings } = chooseFiles(path, present);
    checkDownloaded(path, chosen, controls);
    return { paths: chosen.map((name) => join(path, name)), warnings: [...warnings, ...leftOver] };
  }
  const index = await readCheckpointIndex(path, signal);
  const shards = [...new Set(index.weightMap.values())].sort();
  if (shards.length === 0) throw invalidIndexedFolder(path);
  const missing = await missingOf(path, shards);
  if (missing.size > 0) throw missingShards(index.path, shards.length, missing, path);
  checkDownloaded(path, shards, controls);
  const others = present.filter((name) => !shards.includes(name));
  const warnings = others.map((name) => `File "${join(path, name)}" is left out: the index does not name it`);
  return { paths: shards.map((name) => join(path, name)), index, warnings: [...warnings, ...leftOver] };
}

/** aria2 writes into the file under its final name, and removes its control file once the file is complete. */
function checkDownloaded(folder: string, names: readonly string[], controls: ReadonlySet<string>): void {
  const partial = names.find((name) => controls.has(name + ARIA2));
  if (partial === undefined) return;
  throw invalidFile(join(folder, partial), `is not complete: "${partial}${ARIA2}" shows that aria2 downloads it`, {
    hint: `Wait until the download is complete, or start it again; delete "${partial}${ARIA2}" only if the file is complete`,
  });
}

function onePart(path: string): string[] {
  const [set] = incompleteSets([basename(path)]);
  return set === undefined ? [] : [`File "${path}" is one of ${set.total} shards: the others are not read`];
}

/** Systems and tools leave files behind whose names begin with a dot. */
function safetensorsOf(names: readonly string[]): string[] {
  return names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.')).sort();
}

/** Returns the names that do not lead to a file, with the target of each symbolic link. */
async function missingOf(folder: string, names: readonly string[]): Promise<Map<string, string | undefined>> {
  const missing = new Map<string, string | undefined>();
  await mapBounded(names, PENDING_HEADERS, async (name) => {
    const path = join(folder, name);
    const code = await stat(path).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (code === 'ENOENT' || code === 'ENOTDIR') missing.set(name, await readlink(path).catch(() => undefined));
  });
  return missing;
}

function missingShards(
  index: string,
  count: number,
  missing: ReadonlyMap<string, string | undefined>,
  folder: string,
): CheckpointEngineError {
  const names = [...missing].sort().map(([name, target]) => {
    return target === undefined ? name : `${name} (a link to "${target}", which does not exist)`;
  });
  return new CheckpointEngineError(
    'CE_FILE_NOT_FOUND',
    `The index "${index}" names ${count} files, and ${missing.size} of them ${missing.size === 1 ? 'is' : 'are'} missing: ${listed(names)}`,
    'Download or copy the missing files, and wait until all files are complete',
    { file: join(folder, [...missing.keys()].sort()[0]!) },
  );
}

function invalidIndexedFolder(path: string): CheckpointEngineError {
  return invalidFile(path, 'has an index without a tensor', {
    code: 'CE_CHECKPOINT_EMPTY',
    hint: 'Pass the folder that holds the weights',
  });
}

function withoutTensors(path: string, fileCount: number): CheckpointEngineError {
  const files = fileCount === 1 ? 'its header names none' : `the headers of its ${fileCount} files name none`;
  return invalidFile(path, `has no tensors: ${files}`, {
    code: 'CE_CHECKPOINT_EMPTY',
    hint: 'Pass a folder or files that hold weights',
  });
}

function adapterWarnings(tensors: readonly TensorEntry[]): string[] {
  const { length } = tensors.filter(({ name }) => /[._]lora_([ab]|up|down)\b/i.test(name));
  if (length === 0) return [];
  return [`${length} of ${tensors.length} tensors belong to an adapter (LoRA): engines expect a merged model`];
}

function indexByName(tensors: readonly TensorEntry[]): Map<string, TensorEntry> {
  const byName = new Map<string, TensorEntry>();
  for (const tensor of tensors) {
    const { name, path } = tensor;
    const other = byName.get(name);
    if (other !== undefined) {
      throw invalidFile(path, `is also in file "${other.path}", expected each tensor once`, {
        code: 'CE_TENSOR_DUPLICATE',
        tensor: name,
        hint: 'Keep the files of one checkpoint only',
      });
    }
    byName.set(name, tensor);
  }
  return byName;
}

/**
 * Checks both directions: each shard has the tensors that the map places in it, and the map names every tensor of the
 * shards.
 */
function checkIndex(index: CheckpointIndex, byName: ReadonlyMap<string, TensorEntry>, folder: string): void {
  for (const [name, shard] of index.weightMap) {
    const path = join(folder, shard);
    const tensor = byName.get(name);
    if (tensor === undefined) {
      throw invalidFile(path, `is not in this shard, where "${index.path}" places it`, {
        code: 'CE_TENSOR_MISSING',
        tensor: name,
        hint: 'Copy the shard and the index again, both from the same checkpoint',
      });
    }
    if (tensor.path !== path)
      throw invalidIndex(index.path, `is in "${tensor.path}", but the index says "${path}"`, name);
  }
  if (byName.size === index.weightMap.size) return;
  for (const [name, { path }] of byName) {
    if (!index.weightMap.has(name))
      throw invalidIndex(index.path, `is in "${path}", but the index does not name it`, name);
  }
}

function checkTotalSize({ path, totalSizeBytes }: CheckpointIndex, totalBytes: number): string[] {
  if (totalSizeBytes === undefined || totalSizeBytes === totalBytes) return [];
  return [`File "${path}" gives a total_size of ${totalSizeBytes} bytes, but the tensors have ${totalBytes}`];
}
