import { createCipheriv } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeSafetensorsHeader } from '@checkpoint-engine/meta';

const STEP_BYTES = 16 * 2 ** 20;

/** A sharded checkpoint of pseudo-random bytes. */
export interface SyntheticCheckpoint {
  readonly files: readonly string[];
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

/** Writes `tensorSizes` bytes of U8 tensors into `shardCount` files of about equal size. */
export async function writeCheckpoint(
  folder: string,
  tensorSizes: readonly number[],
  shardCount: number,
): Promise<SyntheticCheckpoint> {
  mkdirSync(folder, { recursive: true });
  const total = tensorSizes.reduce((sum, size) => sum + size, 0);
  // AES-CTR of zeros: incompressible bytes at memory speed.
  const random = createCipheriv('aes-128-ctr', new Uint8Array(16).fill(7), new Uint8Array(16));
  const files: string[] = [];
  let first = 0;
  for (let shard = 0; shard < shardCount; shard++) {
    let end = first;
    let bytes = 0;
    while (end < tensorSizes.length && (shard === shardCount - 1 || bytes < total / shardCount))
      bytes += tensorSizes[end++]!;
    const tensors = tensorSizes.slice(first, end).map((size, index) => ({
      name: `model.layers.${first + index}.weight`,
      dtype: 'U8' as const,
      shape: [size],
    }));
    const path = join(folder, `model-${String(shard + 1).padStart(5, '0')}.safetensors`);
    const file = await open(path, 'w');
    try {
      await file.write(encodeSafetensorsHeader(tensors));
      await writeRandom(file, bytes, random);
    } finally {
      await file.close();
    }
    files.push(path);
    first = end;
  }
  return { files, sizeBytes: total, tensorCount: tensorSizes.length };
}

async function writeRandom(
  file: FileHandle,
  sizeBytes: number,
  random: ReturnType<typeof createCipheriv>,
): Promise<void> {
  const zeros = new Uint8Array(STEP_BYTES);
  for (let left = sizeBytes; left > 0; left -= STEP_BYTES) {
    await file.write(random.update(zeros.subarray(0, Math.min(left, STEP_BYTES))));
  }
}
