import { encodeWorldMetas, type RankMetas } from '@checkpoint-engine/meta';
import { writeOutputFile } from '../output/output-file.ts';

/**
 * Writes the metas of all ranks to a file that its owner alone can read: who has them may read the weights.
 *
 * @returns Why they could not be written; `undefined` when they were. The update that came before is done either way.
 */
export async function writeMetas(path: string, metas: readonly RankMetas[]): Promise<string | undefined> {
  try {
    await writeOutputFile(path, encodeWorldMetas(metas), 0o600);
    return undefined;
  } catch (error) {
    return `The metas could not be written to "${path}": ${(error as Error).message}`;
  }
}
