import { rename, writeFile } from 'node:fs/promises';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { encodeWorldMetas, type RankMetas } from '@checkpoint-engine/meta';

/**
 * Writes the metas of all ranks to a file that its owner alone can read: who has them may read the weights. Who reads the file at the same time sees the old one or the new one.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the file cannot be written.
 */
export async function writeMetas(path: string, metas: readonly RankMetas[]): Promise<void> {
  const unfinished = `${path}.unfinished`;
  try {
    await writeFile(unfinished, encodeWorldMetas(metas), { mode: 0o600 });
    await rename(unfinished, path);
  } catch (error) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The metas cannot be written to "${path}": ${(error as Error).message}`,
      'Correct --save-metas-file',
      { file: path, cause: error },
    );
  }
}
