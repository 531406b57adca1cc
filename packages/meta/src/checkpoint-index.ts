import { join } from 'node:path';
import { fitText } from '@checkpoint-engine/interface';
import { invalidFile } from './file-errors.ts';
import { FORMAT_PROBE_BYTES, foreignFormat } from './foreign-format.ts';
import { JsonReader } from './json-reader.ts';
import { withFile } from './read-file.ts';

/** Name of the file that maps each tensor of a checkpoint to its shard. */
export const INDEX_NAME = 'model.safetensors.index.json';

const MAX_INDEX_BYTES = 100_000_000;
/** Most characters of a path in a message. */
const SHOWN_CHARACTERS = 300;
const HINT = 'Write the index again, or delete it to read all safetensors files of the folder';

/** The parsed contents of `model.safetensors.index.json`. */
export interface CheckpointIndex {
  readonly path: string;
  /** `metadata.total_size`, if it is a whole number. */
  readonly totalSizeBytes?: number | undefined;
  /** Maps each tensor name to its shard, a path inside the folder. */
  readonly weightMap: ReadonlyMap<string, string>;
}

/**
 * Reads the index of the checkpoint in `folder`.
 *
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_FILE_INVALID`, `CE_ABORTED`
 */
export async function readCheckpointIndex(folder: string, signal?: AbortSignal): Promise<CheckpointIndex> {
  return withFile(join(folder, INDEX_NAME), signal, async (file) => {
    if (file.sizeBytes > MAX_INDEX_BYTES) {
      throw invalidIndex(file.path, `has ${file.sizeBytes} bytes, expected at most ${MAX_INDEX_BYTES}`);
    }
    const bytes = await file.read(0, file.sizeBytes);
    refuseOtherFormats(bytes, file.path);
    return parseCheckpointIndex(bytes, file.path);
  });
}

/** Creates the error for an invalid index at `path`. */
export function invalidIndex(path: string, what: string, tensor?: string): Error {
  return invalidFile(path, what, { tensor, hint: HINT });
}

function parseCheckpointIndex(bytes: Uint8Array, path: string): CheckpointIndex {
  let tensor: string | undefined;
  const fail = (what: string): never => {
    throw invalidIndex(path, what, tensor);
  };
  const reader = new JsonReader(decode(bytes, fail), fail);
  let totalSizeBytes: number | undefined;
  let weightMap: Map<string, string> | undefined;
  reader.object('the index', (key) => {
    if (key === 'weight_map') {
      const map = new Map<string, string>();
      reader.object('weight_map', (name) => {
        tensor = name;
        map.set(name, checkShard(reader.string('its shard'), fail));
        tensor = undefined;
      });
      weightMap = map;
    } else if (key === 'metadata') {
      reader.object('metadata', (name) => {
        const value: unknown = JSON.parse(reader.skip(`metadata.${name}`));
        if (name === 'total_size' && Number.isSafeInteger(value)) totalSizeBytes = value as number;
      });
    } else {
      reader.skip(JSON.stringify(key));
    }
  });
  reader.end();
  return { path, totalSizeBytes, weightMap: weightMap ?? fail('has no weight_map') };
}

/** Names the format of a file that is not JSON, such as a Git LFS pointer or an HTML page. */
function refuseOtherFormats(bytes: Uint8Array, path: string): void {
  const begin = bytes.subarray(0, FORMAT_PROBE_BYTES);
  if (/^[\xef\xbb\xbf\s]*[{[]/.test(String.fromCharCode(...begin))) return;
  const foreign = foreignFormat(begin, path);
  if (foreign !== undefined) throw invalidFile(path, foreign.what, { hint: foreign.hint });
}

function decode(bytes: Uint8Array, fail: (what: string) => never): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('is not UTF-8');
  }
}

/**
 * Checks that a shard is a path that cannot leave the folder, and removes what does not change its meaning ("./a",
 * "b//a"): each path has one spelling only.
 */
function checkShard(shard: string, fail: (what: string) => never): string {
  const found = fitText(JSON.stringify(shard), SHOWN_CHARACTERS);
  const refuse = (expected: string): never => fail(`its shard is ${found}, expected ${expected}`);
  if (/\p{Cc}/u.test(shard)) return refuse('a path without control characters');
  if (/^([\\/]|[A-Za-z]:)/.test(shard)) return refuse('a path relative to the folder');
  if (shard.split(/[\\/]/).includes('..')) return refuse('a path inside the folder without ".."');
  const parts = shard.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || /\/\.?$/.test(shard)) return refuse('the path of a file');
  return parts.join('/');
}
