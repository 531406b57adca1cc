import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { readCheckpoint, type TensorSpec } from '@checkpoint-engine/meta';
import { MODEL_NAMES, type ModelName, modelOf, scaleTensors } from '@checkpoint-engine/model-tensors';
import { formatBytes, parseSize } from '@checkpoint-engine/planner';
import { type Command, Option } from 'commander';
import { SPECIAL_TENSORS } from './special-tensors.ts';
import { writeShards } from './write-shards.ts';

/** The checkpoint of a scenario. */
export interface CheckpointOptions {
  readonly model?: string | undefined;
  /** Maximum size in bytes: the model's shapes shrink to fit. */
  readonly scale?: number | undefined;
  /** An existing checkpoint, instead of a model. */
  readonly dir?: string | undefined;
  /** Folder in which checkpoints are created and reused. */
  readonly dataDir: string;
}

/** A checkpoint on disk. */
export interface BenchCheckpoint {
  /** `Qwen3-8B`, `Kimi-K2 FP8 scaled to 16 GiB`. */
  readonly title: string;
  readonly folder: string;
  readonly files: readonly string[];
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

const NAMES = [...MODEL_NAMES, ...Object.keys(SPECIAL_TENSORS)];

/** Adds the options that select the checkpoint. */
export function withCheckpointOptions(command: Command): Command {
  return withDataDirOption(command)
    .addOption(new Option('--model <name>', 'whose tensors').choices(NAMES).default('qwen3-8b'))
    .option('--scale <size>', 'shrink shapes until it fits; names, dtypes and counts stay', parseSize)
    .option('--dir <dir>', 'an existing safetensors checkpoint, instead of a model');
}

/** Adds the option for the folder of checkpoints. */
export function withDataDirOption(command: Command): Command {
  return command.option(
    '--data-dir <dir>',
    'folder in which checkpoints are created and reused',
    process.env.CHECKPOINT_ENGINE_BENCH_DATA ?? join(tmpdir(), 'checkpoint-engine-data'),
  );
}

/** Finds the checkpoint, or creates it first. */
export async function benchCheckpoint(options: CheckpointOptions): Promise<BenchCheckpoint> {
  const { dir, model = 'qwen3-8b', scale, dataDir } = options;
  if (dir !== undefined) return describe(basename(dir), dir);
  const folder = join(dataDir, scale === undefined ? model : `${model}-${scale}`);
  if (!existsSync(folder)) {
    mkdirSync(dataDir, { recursive: true });
    await writeShards(folder, tensorsOf(model, scale));
  }
  const title = isModel(model) ? modelOf(model).title : model;
  return describe(scale === undefined ? title : `${title} scaled to ${formatBytes(scale)}`, folder);
}

function tensorsOf(name: string, scaleBytes: number | undefined): readonly TensorSpec[] {
  const tensors = isModel(name) ? modelOf(name).tensors() : SPECIAL_TENSORS[name]?.();
  if (tensors === undefined) throw new RangeError(`Unknown model "${name}", expected one of ${NAMES.join(', ')}`);
  return scaleBytes === undefined ? tensors : scaleTensors(tensors, scaleBytes);
}

const isModel = (name: string): name is ModelName => (MODEL_NAMES as readonly string[]).includes(name);

async function describe(title: string, folder: string): Promise<BenchCheckpoint> {
  const { files, totalBytes, tensors } = await readCheckpoint(folder);
  return { title, folder, files: files.map(({ path }) => path), sizeBytes: totalBytes, tensorCount: tensors.length };
}
