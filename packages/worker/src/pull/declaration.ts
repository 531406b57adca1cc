import { checkNeeds, type Memory, type Needs } from '@checkpoint-engine/interface';
import type { CheckpointTensor, KeptSlice } from './kept-slice.ts';

/** A slice of a tensor, and the target of its rows. */
export interface PulledSlice extends KeptSlice {
  /** Position of the tensor in the list that the declaration is for. */
  readonly tensor: number;
  readonly to: { readonly memory: Memory; readonly offsetBytes: number };
  /** From the start of a row to that of the next, at `to`. @default `rowBytes` */
  readonly toPitchBytes?: number | undefined;
}

/** The parts of a checkpoint that an engine keeps. Tensors in neither list are not transferred. */
export interface Declaration {
  /** Copied directly into the engine's memory. */
  readonly slices: readonly PulledSlice[];
  /** Tensors that arrive complete, in buckets. */
  readonly rest: readonly number[];
}

/**
 * Converts a declaration to needs.
 *
 * @throws {RangeError} A slice is not inside its tensor, or its rows are not inside their target memory.
 */
export function needsOf(declaration: Declaration, tensors: readonly CheckpointTensor[]): Needs {
  const { slices, rest } = declaration;
  const needs = {
    tensor: Uint32Array.from(slices, ({ tensor }) => tensor),
    offsetBytes: Float64Array.from(slices, ({ offsetBytes }) => offsetBytes),
    rows: Float64Array.from(slices, ({ rows }) => rows),
    rowBytes: Float64Array.from(slices, ({ rowBytes }) => rowBytes),
    pitchBytes: Float64Array.from(slices, ({ pitchBytes }) => pitchBytes),
    rest: Uint32Array.from(rest),
  };
  checkNeeds(
    needs,
    tensors.map(({ sizeBytes }) => sizeBytes),
  );
  for (const { tensor, rows, rowBytes, to, toPitchBytes = rowBytes } of slices) {
    const endBytes = to.offsetBytes + (rows - 1) * toPitchBytes + rowBytes;
    if (to.offsetBytes >= 0 && toPitchBytes >= rowBytes && endBytes <= to.memory.sizeBytes) continue;
    throw new RangeError(`Rows of tensor "${tensors[tensor]!.name}" exceed their target memory`);
  }
  return needs;
}
