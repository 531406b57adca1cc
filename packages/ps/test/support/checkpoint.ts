import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DType, encodeSafetensorsHeader, tensorBytes } from '@checkpoint-engine/meta';
import type { NamedTensor } from '@checkpoint-engine/ps';
import { afterEach } from 'vitest';

/** A tensor to be written. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Files on disk and the SHA-256 of each tensor in them. */
export interface TestCheckpoint {
  readonly folder: string;
  readonly files: readonly string[];
  readonly digests: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

/** Dtypes and shapes of real models, and unusual ones: scalars, empty tensors, odd sizes, every width. */
export function mixedTensors(count: number): TensorSpec[] {
  const dtypes: DType[] = ['BF16', 'F32', 'F8_E4M3', 'I64', 'U8', 'F16', 'BOOL', 'F64', 'C64', 'I32', 'F8_E8M0'];
  const shapes = [[], [0], [1], [7], [128, 33], [3, 0, 5], [257, 129], [4096], [64, 1024]];
  return Array.from({ length: count }, (_, index) => ({
    name: `model.layers.${index}.weight`,
    dtype: dtypes[index % dtypes.length]!,
    shape: shapes[index % shapes.length]!,
  }));
}

/** Options of {@link writeCheckpoint}. */
export interface CheckpointOptions {
  readonly shardCount?: number;
  readonly parent?: string;
}

/** Returns a {@link writeCheckpoint} whose checkpoints are removed after each test of the file that calls this. */
export function removedCheckpoints(): typeof writeCheckpoint {
  const written: TestCheckpoint[] = [];
  afterEach(async () => {
    for (const checkpoint of written.splice(0)) await checkpoint.remove();
  });
  return async (tensors, options) => {
    const checkpoint = await writeCheckpoint(tensors, options);
    written.push(checkpoint);
    return checkpoint;
  };
}

/** Writes the tensors with random bytes into `shardCount` files. */
export async function writeCheckpoint(
  tensors: readonly TensorSpec[],
  { shardCount = 2, parent = tmpdir() }: CheckpointOptions = {},
): Promise<TestCheckpoint> {
  const folder = await mkdtemp(join(parent, 'checkpoint-engine-test-'));
  const digests: Record<string, string> = {};
  const files: string[] = [];
  const perShard = Math.ceil(tensors.length / shardCount);
  for (let shard = 0; shard < shardCount; shard++) {
    const own = tensors.slice(shard * perShard, (shard + 1) * perShard);
    const bytes = own.map(({ dtype, shape }) => randomBytes(tensorBytes(dtype, shape)));
    for (const [index, { name }] of own.entries()) {
      digests[name] = createHash('sha256').update(bytes[index]!).digest('hex');
    }
    const path = join(
      folder,
      `model-${String(shard + 1).padStart(5, '0')}-of-${String(shardCount).padStart(5, '0')}.safetensors`,
    );
    await writeFile(path, Buffer.concat([encodeSafetensorsHeader(own), ...bytes]));
    files.push(path);
  }
  return { folder, files, digests, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Writes one file of tensors with these bytes. Resolves with its path. */
export async function writeTensors(path: string, tensors: readonly NamedTensor[]): Promise<string> {
  await writeFile(path, Buffer.concat([encodeSafetensorsHeader(tensors), ...tensors.map(({ bytes }) => bytes)]));
  return path;
}
