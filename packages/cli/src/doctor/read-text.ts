import { readFile } from 'node:fs/promises';

/** The text of a file, or `undefined` where it cannot be read: the kernel does not offer it here. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
