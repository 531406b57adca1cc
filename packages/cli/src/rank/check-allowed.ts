import { readdir, realpath } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { readCheckpoint } from '@checkpoint-engine/meta';

/**
 * Checks that all files of a checkpoint are below one of the roots, with symbolic links resolved.
 *
 * @throws `CE_CONFIG_INVALID`, which does not reveal whether the file exists; `CE_FILE_*`.
 */
export async function checkAllowed(files: string | readonly string[], roots: readonly string[]): Promise<void> {
  const realRoots = await Promise.all(roots.map((root) => realpath(root).catch(() => resolve(root))));
  const known = [...roots.map((root) => resolve(root)), ...realRoots];
  const check = async (path: string): Promise<void> => {
    if (!isBelow(resolve(path), known)) throw refused(path);
    const real = await realpath(path).catch(() => undefined);
    if (real !== undefined && !isBelow(real, realRoots)) throw refused(path);
  };
  for (const path of typeof files === 'string' ? [files] : files) await check(path);
  if (typeof files !== 'string') return;
  // A folder's index lists files, which can be links.
  for (const name of await readdir(files).catch(() => [])) {
    if (/\.(safetensors|json)$/.test(name)) await check(join(files, name));
  }
  for (const { path } of (await readCheckpoint(files)).files) await check(path);
}

function isBelow(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => path === root || path.startsWith(root.endsWith(sep) ? root : root + sep));
}

function refused(path: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `"${path}" is not below a folder from which files may be registered`,
    'Start the server with --allow-path for its folder, or move the files',
    { file: path },
  );
}
