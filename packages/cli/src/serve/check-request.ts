import { isAbsolute } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { checkpointOfMetas } from '@checkpoint-engine/meta';

/**
 * Rejects URLs and relative paths: clients and ranks on other hosts have other working directories.
 *
 * @throws `CE_REQUEST_INVALID`
 */
export function checkPaths(files: readonly string[]): void {
  const relative = files.find((file) => !isAbsolute(file));
  if (relative === undefined) return;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(relative)) {
    throw new CheckpointEngineError(
      'CE_REQUEST_INVALID',
      `"${relative}" is a URL, expected the path of a folder or file`,
      'Download the checkpoint, and send absolute paths, as the ranks see them',
      { file: relative },
    );
  }
  throw new CheckpointEngineError(
    'CE_REQUEST_INVALID',
    `"${relative}" is a relative path, which the server cannot resolve`,
    'Send absolute paths, as the ranks see them',
    { file: relative },
  );
}

/**
 * Checks that metas belong to a checkpoint. The ranks decode the metas and check the rest: the server's thread must
 * answer other requests.
 *
 * @throws `CE_METAS_INVALID`
 */
export function checkName(name: string, metas: Uint8Array): void {
  const named = checkpointOfMetas(metas);
  if (named === name) return;
  throw new CheckpointEngineError(
    'CE_METAS_INVALID',
    named === undefined
      ? `The metas have no ranks, expected the metas of checkpoint "${name}"`
      : `The metas are those of checkpoint "${named}", not of "${name}"`,
    'Send them to the path of their checkpoint',
  );
}
