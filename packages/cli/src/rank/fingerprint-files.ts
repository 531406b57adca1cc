import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A digest of the files' paths, sizes, modification times and inodes. A folder counts as the files in it. */
export async function fingerprintFiles(files: string | readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of typeof files === 'string' ? await inFolder(files) : files) {
    // The reader reports a file that does not exist.
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    hash.update(`${path}\0${found?.size}\0${found?.mtimeNs}\0${found?.ino}\n`);
  }
  return hash.digest('hex');
}

async function inFolder(path: string): Promise<string[]> {
  const names = await readdir(path).catch(() => undefined);
  return names ? names.sort().map((name) => join(path, name)) : [path];
}
