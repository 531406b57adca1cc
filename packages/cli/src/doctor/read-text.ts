import { readFile } from 'node:fs/promises';

/** Returns the text of a file, or `undefined` if it cannot be read, because this kernel does not have it. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
