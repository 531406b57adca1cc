import { randomUUID } from 'node:crypto';
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileState } from '@checkpoint-engine/interface';
import { type CheckpointFile, fileStateOf, isSameFile, REMOVED_PREFIX } from '@checkpoint-engine/meta';

/** A file to remove: its name, and the file that the name belonged to. */
export type RemovableFile = Pick<CheckpointFile, 'path' | 'state'>;

/**
 * Removes a file by its name, unless the name now belongs to another file or a symbolic link, or the file was
 * modified. A file that takes the name at the same time is not lost: the name is moved aside first, and moved back if
 * it belongs to another file.
 *
 * @returns Whether the file was removed.
 * @throws The error of the file system. The file still exists then.
 */
export async function removeFile({ path, state }: RemovableFile): Promise<boolean> {
  if (!(await isUntouched(path, state))) return false;
  const aside = join(dirname(path), `${REMOVED_PREFIX}${randomUUID()}`);
  try {
    await rename(path, aside);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  let isOwn = false;
  try {
    isOwn = await isUntouched(aside, state);
    if (isOwn) await unlink(aside);
  } finally {
    if (!isOwn) await moveBack(aside, path);
  }
  return isOwn;
}

/** A link never replaces a file: if the name exists again, the file there is the newest one, and stays. */
async function moveBack(aside: string, path: string): Promise<void> {
  try {
    await link(aside, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') return await rename(aside, path);
  }
  await unlink(aside);
}

/** Whether the name belongs to the file, and the file's content is unchanged. */
async function isUntouched(path: string, state: FileState): Promise<boolean> {
  try {
    const now = fileStateOf(await lstat(path, { bigint: true }));
    return isSameFile(now, state) && now.sizeBytes === state.sizeBytes && now.modifiedNs === state.modifiedNs;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
