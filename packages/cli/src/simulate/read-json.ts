import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { readInputFile } from '../config/read-input-file.ts';

/** Reads the JSON file of a flag. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` with the name of the flag. */
export async function readJson(flag: string, path: string): Promise<unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(await readInputFile(path)));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'it does not exist' : code === 'EISDIR' ? 'it is a directory' : message;
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The file of ${flag}, "${path}", cannot be read: ${reason}`,
      `Correct ${flag}`,
      { file: path, cause: error },
    );
  }
}
