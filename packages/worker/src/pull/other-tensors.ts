import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { CheckpointTensor } from './kept-slice.ts';

/** Number of tensors that the error lists. */
const NAMED = 3;

/**
 * The error of a checkpoint whose tensors differ from those that an engine holds.
 *
 * @param held   The tensors of the checkpoint that the engine received.
 * @param wanted The tensors of the checkpoint that it is compared with.
 */
export function otherTensors(
  held: readonly CheckpointTensor[],
  wanted: readonly CheckpointTensor[],
): CheckpointEngineError {
  const heldByName = new Map(held.map((tensor) => [tensor.name, tensor]));
  const wantedNames = new Set(wanted.map(({ name }) => name));
  const differences = [
    ...wanted.flatMap((tensor) => {
      const own = heldByName.get(tensor.name);
      if (own === undefined) return [`the engine has no "${tensor.name}"`];
      const [there, here] = [own, tensor].map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`);
      return there === here ? [] : [`"${tensor.name}" is ${here} in the checkpoint and ${there} in the engine`];
    }),
    ...held.filter(({ name }) => !wantedNames.has(name)).map(({ name }) => `the checkpoint has no "${name}"`),
  ];
  const more = differences.length > NAMED ? `, and ${differences.length - NAMED} more` : '';
  return new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `The tensors of the engine differ from those of the checkpoint: ${differences.slice(0, NAMED).join('; ')}${more}`,
    'Verify the engine with a checkpoint of the model that it serves',
  );
}
