import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readCheckpoint, type TensorEntry } from '@checkpoint-engine/meta';

/** SHA-256 of every tensor of a checkpoint, in hexadecimal, by name. Reads the files only. */
export async function fileDigests(folder: string, signal?: AbortSignal): Promise<Map<string, string>> {
  const { tensors } = await readCheckpoint(folder, { signal });
  const digests = new Map<string, string>();
  for (const tensor of tensors) digests.set(tensor.name, await digestOf(tensor, signal));
  return digests;
}

async function digestOf({ path, fileOffsetBytes, sizeBytes }: TensorEntry, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  if (sizeBytes > 0) {
    const end = fileOffsetBytes + sizeBytes - 1;
    for await (const chunk of createReadStream(path, { start: fileOffsetBytes, end, highWaterMark: 2 ** 20, signal })) {
      hash.update(chunk as Uint8Array);
    }
  }
  return hash.digest('hex');
}
