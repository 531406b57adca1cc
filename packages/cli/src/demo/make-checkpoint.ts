import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeSafetensorsHeader, type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import { modelTensors } from './model-tensors.ts';

/** The options of {@link makeCheckpoint}. */
export interface MakeCheckpointOptions {
  /** The folder. It is created if it does not exist. */
  readonly folder: string;
  /** Maximum size of the tensors. */
  readonly sizeBytes: number;
  /** Equal seeds give equal bytes. */
  readonly seed: string;
  /** @default 4 */
  readonly shardCount?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The files and their size. */
export interface MadeCheckpoint {
  readonly folder: string;
  readonly tensorCount: number;
  readonly sizeBytes: number;
}

const CHUNK_BYTES = 4 * 2 ** 20;

/**
 * Writes a checkpoint in the layout of Hugging Face: shards, an index, a config. Its bytes look random, so that no
 * tensor equals another.
 */
export async function makeCheckpoint(options: MakeCheckpointOptions): Promise<MadeCheckpoint> {
  const { folder, seed, signal, shardCount = 4 } = options;
  const tensors = modelTensors(options.sizeBytes);
  const shards = split(tensors, shardCount);
  const weightMap: Record<string, string> = {};
  await mkdir(folder, { recursive: true });
  for (const [index, shard] of shards.entries()) {
    const name = `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    for (const tensor of shard) weightMap[tensor.name] = name;
    await writeShard(join(folder, name), shard, `${seed}:${index}`, signal);
  }
  const sizeBytes = bytesOf(tensors);
  const index = { metadata: { total_size: sizeBytes }, weight_map: weightMap };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ model_type: 'demo' }));
  return { folder, tensorCount: tensors.length, sizeBytes };
}

/** Groups consecutive tensors into parts of about equal size. */
function split(tensors: readonly TensorSpec[], shardCount: number): TensorSpec[][] {
  const shardBytes = bytesOf(tensors) / shardCount;
  const shards: TensorSpec[][] = Array.from({ length: shardCount }, () => []);
  let startBytes = 0;
  for (const tensor of tensors) {
    shards[Math.min(shardCount - 1, Math.floor(startBytes / shardBytes))]!.push(tensor);
    startBytes += bytesOf([tensor]);
  }
  return shards.filter((shard) => shard.length > 0);
}

async function writeShard(
  path: string,
  tensors: readonly TensorSpec[],
  seed: string,
  signal?: AbortSignal,
): Promise<void> {
  // The key stream of a cipher looks random, and is faster than a disk.
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, new Uint8Array(16));
  const zeros = new Uint8Array(CHUNK_BYTES);
  const file = await open(path, 'wx');
  try {
    await file.write(encodeSafetensorsHeader(tensors, { format: 'pt' }));
    for (let leftBytes = bytesOf(tensors); leftBytes > 0; leftBytes -= CHUNK_BYTES) {
      signal?.throwIfAborted();
      await file.write(cipher.update(zeros.subarray(0, Math.min(leftBytes, CHUNK_BYTES))));
    }
  } finally {
    await file.close();
  }
}

function bytesOf(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
}

function number(index: number): string {
  return String(index).padStart(5, '0');
}
