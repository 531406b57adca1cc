import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { MODEL_NAMES, modelOf } from '@checkpoint-engine/model-tensors';
import type { Scenario } from './scenario.ts';

/** Names that {@link publishedModel} knows. */
export const PUBLISHED_MODELS: readonly string[] = MODEL_NAMES;

/**
 * Returns the tensors of a published model. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` for an unknown name.
 */
export function publishedModel(name: string): Scenario['model'] {
  const known = MODEL_NAMES.find((one) => one === name);
  if (known === undefined) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `Unknown model "${name}", expected one of ${MODEL_NAMES.join(', ')}`,
      'Use one of these, or the folder of a checkpoint (--checkpoint-path)',
    );
  }
  const { title, tensors } = modelOf(known);
  return { title, tensors: tensors() };
}
