import { encodeWorldMetas, type RankMetas } from '@checkpoint-engine/meta';
import { writeOutputFile } from '../output/output-file.ts';

/**
 * Writes the metas of all ranks to a file that only its owner can read: a reader of the file may read the weights.
 *
 * @returns Why the file cannot be written, or `undefined`. The preceding update counts as completed in both cases.
 */
export async function writeMetas(path: string, metas: readonly RankMetas[]): Promise<string | undefined> {
  try {
    await writeOutputFile(path, encodeWorldMetas(metas), 0o600);
    return undefined;
  } catch (error) {
    return `The metas could not be written to "${path}": ${(error as Error).message}`;
  }
}
