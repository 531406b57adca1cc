import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { checkOutputFile, type OutputFile } from './output-file.ts';

/** Matches names of files with weights. */
const WEIGHTS = /\.safetensors(\.index\.json)?$/i;
/** Several outputs may go to one device or pipe. */
const DEVICE = 'device';

/**
 * Checks that all files can be written later, and that writing them replaces neither weights, nor an input of the
 * command, nor each other.
 *
 * @param inputs Paths that the command reads. Folders are ignored.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` with the name of the flag.
 */
export async function checkOutputFiles(
  files: readonly OutputFile[],
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const read = await Promise.all(inputs.filter((path) => path !== undefined).map(identityOf));
  const flags = new Map<string, string>();
  for (const { path, flag } of files) {
    if (path === '') throw invalid(flag, path, `${flag} is empty`);
    if (WEIGHTS.test(path)) throw invalid(flag, path, `${flag} is "${path}", which looks like a file of weights`);
    const identity = await identityOf(path);
    if (identity !== DEVICE && read.includes(identity))
      throw invalid(flag, path, `${flag} would replace "${path}", which this command reads`);
    const other = flags.get(identity);
    if (other !== undefined && identity !== DEVICE) {
      throw invalid(flag, path, `${other} and ${flag} have the same file, "${path}"`);
    }
    flags.set(identity, flag);
    await checkOutputFile({ path, flag });
  }
}

/** Returns equal values for paths of the same file, even if it does not exist yet. */
async function identityOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return resolve(path);
  return found.isFile() || found.isDirectory() ? `file ${found.dev} ${found.ino}` : DEVICE;
}

function invalid(flag: string, path: string, what: string): CheckpointEngineError {
  const hint = `Use a separate file for ${flag}; nothing has been done yet`;
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint, { file: path });
}
