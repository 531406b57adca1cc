import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { readCheckpoint } from '@checkpoint-engine/meta';

/** SHA-256 of every tensor in the files. */
export async function fileDigests(files: readonly string[]): Promise<Map<string, string>> {
  const { tensors } = await readCheckpoint(files);
  const digests = new Map<string, string>();
  for (const path of files) {
    const file = await open(path);
    try {
      for (const { name, fileOffsetBytes, sizeBytes } of tensors.filter((tensor) => tensor.path === path)) {
        const bytes = new Uint8Array(sizeBytes);
        await file.read(bytes, 0, sizeBytes, fileOffsetBytes);
        digests.set(name, createHash('sha256').update(bytes).digest('hex'));
      }
    } finally {
      await file.close();
    }
  }
  return digests;
}
