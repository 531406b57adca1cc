import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { decodeWorldMetas } from '@checkpoint-engine/meta';
import { readInputFile } from '../config/read-input-file.ts';
import type { LoadMetasRequest } from '../config/requests.ts';

/** Metas of one checkpoint from the files of other worlds. */
export interface ReadMetas {
  readonly checkpoint: string;
  /** The contents of the files, in order. */
  readonly files: readonly Uint8Array[];
}

/**
 * Reads metas files and checks that they are complete and of the right checkpoint.
 *
 * @throws {CheckpointEngineError} `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`; `CE_METAS_INVALID` for another version, a
 * file that is truncated or changed, or another checkpoint.
 */
export async function readMetas({ files, name }: LoadMetasRequest): Promise<ReadMetas> {
  const contents: Uint8Array[] = [];
  let checkpoint = name;
  for (const path of files) {
    const bytes = await readBytes(path);
    const found = decode(bytes, path);
    checkpoint ??= found;
    if (found !== checkpoint) {
      throw new CheckpointEngineError(
        'CE_METAS_INVALID',
        `The metas in "${path}" belong to checkpoint "${found}", expected "${checkpoint}"`,
        name === undefined ? 'Load metas files of one checkpoint' : 'Correct --checkpoint-name or --load-metas-file',
        { file: path },
      );
    }
    contents.push(bytes);
  }
  return { checkpoint: checkpoint!, files: contents };
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readInputFile(path);
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CheckpointEngineError(
      isAbsent ? 'CE_FILE_NOT_FOUND' : 'CE_FILE_UNREADABLE',
      isAbsent
        ? `The metas file "${path}" does not exist`
        : `The metas file "${path}" cannot be read: ${(error as Error).message}`,
      'Use the file that the serving ranks wrote with --save-metas-file',
      { file: path, cause: error },
    );
  }
}

function decode(bytes: Uint8Array, path: string): string | undefined {
  try {
    return decodeWorldMetas(bytes)[0]?.checkpoint;
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
    throw new CheckpointEngineError(error.code, `"${path}": ${error.message}`, error.hint, { file: path });
  }
}
