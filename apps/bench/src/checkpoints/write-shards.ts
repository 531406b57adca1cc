import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import { totalBytes } from '@checkpoint-engine/model-tensors';

/** The work of a thread. */
export interface Shard {
  readonly path: string;
  readonly tensors: readonly TensorSpec[];
  /** Equal seeds result in equal bytes. */
  readonly seed: string;
}

/**
 * Writes a checkpoint in the layout of Hugging Face, with one thread per core: shards of about equal bytes, and an
 * index. Bytes look random, so that no tensor can pass for another. The folder appears whole, or not at all.
 */
export async function writeShards(
  folder: string,
  tensors: readonly TensorSpec[],
  { shardCount = 16, seed = 'a' }: { readonly shardCount?: number; readonly seed?: string } = {},
): Promise<void> {
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    const parts = split(tensors, shardCount);
    const weightMap: Record<string, string> = {};
    const shards = parts.map((part, index): Shard => {
      const file = `model-${number(index + 1)}-of-${number(parts.length)}.safetensors`;
      for (const { name } of part) weightMap[name] = file;
      return { path: join(unfinished, file), tensors: part, seed: `${seed}:${index}` };
    });
    const next = shards.values();
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), shards.length) }, () => writeInTurn(next)));
    const index = { metadata: { total_size: totalBytes(tensors) }, weight_map: weightMap };
    writeFileSync(join(unfinished, 'model.safetensors.index.json'), JSON.stringify(index));
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Writes shards until none are left. */
async function writeInTurn(shards: Iterable<Shard>): Promise<void> {
  for (const shard of shards) {
    const thread = new Worker(new URL('./shard-thread.js', import.meta.url), { workerData: shard });
    await once(thread, 'exit');
  }
}

/** Consecutive tensors of about equal bytes. */
function split(tensors: readonly TensorSpec[], shardCount: number): TensorSpec[][] {
  const shardBytes = totalBytes(tensors) / shardCount;
  const shards: TensorSpec[][] = Array.from({ length: shardCount }, () => []);
  let startBytes = 0;
  for (const tensor of tensors) {
    shards[Math.min(shardCount - 1, Math.floor(startBytes / shardBytes))]!.push(tensor);
    startBytes += tensorBytes(tensor.dtype, tensor.shape);
  }
  return shards.filter((shard) => shard.length > 0);
}

const number = (index: number): string => String(index).padStart(5, '0');
