import type { ParameterMeta } from '@checkpoint-engine/meta';
import type { TensorRanges } from '@checkpoint-engine/planner';
import type { ArrivedRange } from './arrival-check.ts';

/**
 * The ranges of a transfer that has arrived in a memory.
 *
 * @param metas      Metas of all tensors, by the positions in `ranges`.
 * @param startBytes Start of the transfer, from the start of the memory.
 */
export function arrivedRanges(
  { tensor, tensorOffsetBytes, rangeBytes, offsetBytes }: TensorRanges,
  metas: readonly ParameterMeta[],
  startBytes: number,
): ArrivedRange[] {
  return Array.from(tensor, (position, at) => ({
    name: metas[position]!.name,
    positionBytes: tensorOffsetBytes[at]!,
    offsetBytes: startBytes + offsetBytes[at]!,
    sizeBytes: rangeBytes[at]!,
  }));
}
