import { constants } from 'node:fs';
import { access, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { writeFifo } from './write-fifo.ts';

/** A file that a command writes at the end of its work. */
export interface OutputFile {
  readonly path: string;
  /** The flag with the path of the file. */
  readonly flag: string;
}

/**
 * Checks that a file can be written later, before any step that cannot be undone. Leaves no file behind.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` with the name of the flag.
 */
export async function checkOutputFile({ path, flag }: OutputFile): Promise<void> {
  try {
    const found = await stat(path).catch(undefinedIfAbsent);
    if (found?.isDirectory()) throw new Error('it is a directory');
    if (found?.isSocket()) throw new Error('it is a socket');
    if (found && !found.isFile()) {
      await access(path, constants.W_OK);
      return;
    }
    const unfinished = unfinishedOf(path);
    await (await open(unfinished, 'w', 0o600)).close();
    await rm(unfinished);
  } catch (error) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The file of ${flag}, "${path}", cannot be written: ${reasonOf(error as NodeJS.ErrnoException)}`,
      `Correct ${flag}; nothing has been done yet`,
      { file: path, cause: error },
    );
  }
}

/**
 * Replaces a file atomically: a reader sees the old or the new contents. Writes directly to devices and pipes.
 *
 * @param mode Permissions of a new file.
 */
export async function writeOutputFile(path: string, data: string | Uint8Array, mode = 0o666): Promise<void> {
  const found = await stat(path).catch(undefinedIfAbsent);
  if (found?.isFIFO()) return await writeFifo(path, data);
  if (found && !found.isFile()) return await writeFile(path, data);
  const unfinished = unfinishedOf(path);
  try {
    await writeFile(unfinished, data, { mode });
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {});
    throw error;
  }
}

function unfinishedOf(path: string): string {
  return `${path}.unfinished`;
}

function undefinedIfAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'its folder does not exist';
  if (code === 'ENOTDIR') return 'a part of the path is not a folder';
  if (code === 'EACCES' || code === 'EPERM') return 'this user may not write there';
  if (code === 'EROFS') return 'the file system is read-only';
  return message;
}
