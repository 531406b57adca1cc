import type { TensorSpec } from '@checkpoint-engine/meta';
import { deepseekV31, kimiK2 } from './deepseek-v3.ts';
import { glm45Air } from './glm-4.5-air.ts';
import { qwen3Dense8b, qwen3Moe30b, qwen3Moe235b } from './qwen3.ts';

/** A published model. */
export interface Model {
  /** The usual name. */
  readonly title: string;
  /** Every tensor, in the order of the layers. */
  tensors(): TensorSpec[];
}

/** Names of the models on a command line. */
export type ModelName = 'qwen3-8b' | 'qwen3-30b-a3b' | 'glm-4.5-air' | 'qwen3-235b-a22b' | 'deepseek-v3.1' | 'kimi-k2';

const MODELS: Readonly<Record<ModelName, Model>> = {
  'qwen3-8b': { title: 'Qwen3-8B', tensors: qwen3Dense8b },
  'qwen3-30b-a3b': { title: 'Qwen3-30B-A3B', tensors: () => qwen3Moe30b() },
  'glm-4.5-air': { title: 'GLM-4.5-Air', tensors: glm45Air },
  'qwen3-235b-a22b': { title: 'Qwen3-235B-A22B', tensors: qwen3Moe235b },
  'deepseek-v3.1': { title: 'DeepSeek-V3.1 FP8', tensors: deepseekV31 },
  'kimi-k2': { title: 'Kimi-K2 FP8', tensors: kimiK2 },
};

/** All names of models. */
export const MODEL_NAMES: readonly ModelName[] = Object.keys(MODELS) as ModelName[];

/** Returns the model with this name. */
export const modelOf = (name: ModelName): Model => MODELS[name];
