import type { Needs } from '@checkpoint-engine/interface';

/** The tensors that one rank keeps, in the format of `--needs`: all of a tensor, or slices of it. */
export type KeptTensors = Readonly<Record<string, 'whole' | readonly (readonly number[])[]>>;

/**
 * Returns what a worker keeps, in the form of a file of needs. A tensor that the engine's loader takes counts as kept whole.
 *
 * @param tensors Of the checkpoint, in the order of their indexes.
 */
export function keptTensors(
  { tensor, offsetBytes, rows, rowBytes, pitchBytes, rest }: Needs,
  tensors: readonly { readonly name: string; readonly sizeBytes: number }[],
): KeptTensors {
  const kept = new Map<number, 'whole' | number[][]>(Array.from(rest, (index) => [index, 'whole']));
  for (let at = 0; at < tensor.length; at++) {
    const index = tensor[at]!;
    const slices = kept.get(index) ?? [];
    if (slices === 'whole') continue;
    const isWhole = rows[at] === 1 && rowBytes[at] === tensors[index]!.sizeBytes;
    slices.push([offsetBytes[at]!, rows[at]!, rowBytes[at]!, pitchBytes[at]!]);
    kept.set(index, isWhole ? 'whole' : slices);
  }
  const inOrder = [...kept].sort(([a], [b]) => a - b);
  return Object.fromEntries(inOrder.map(([index, slices]) => [tensors[index]!.name, slices]));
}
