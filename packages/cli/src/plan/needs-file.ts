import { CheckpointEngineError, checkNeeds, type Needs } from '@checkpoint-engine/interface';
import { z } from 'zod';
import { readInputFile } from '../config/read-input-file.ts';
import { type OutputFile, writeOutputFile } from '../output/output-file.ts';
import type { KeptTensors } from '../process/kept-tensors.ts';

const slice = z.tuple([z.int().min(0), z.int().min(1), z.int().min(1), z.int().min(1)]);

/** The needs of each rank: by tensor, all of it or slices `[offset, rows, row bytes, pitch]`, in bytes. */
const needsFile = z.strictObject({
  ranks: z
    .array(
      z.strictObject({
        rank: z.int().min(0),
        tensors: z.record(z.string(), z.union([z.literal('whole'), z.array(slice).min(1)])),
      }),
    )
    .min(1),
});

/**
 * Reads what ranks keep of a checkpoint from a JSON file. A rank that is not in it receives nothing.
 *
 * @param tensors Tensors of the checkpoint, in the order of their indexes.
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`; `CE_CONFIG_INVALID` The file does not fit the checkpoint or the world.
 */
export async function readNeedsFile(
  path: string,
  tensors: readonly { readonly name: string; readonly sizeBytes: number }[],
  worldSize: number,
): Promise<Map<number, Needs>> {
  const parsed = needsFile.safeParse(parse(await read(path), path));
  if (!parsed.success) throw invalid(path, z.prettifyError(parsed.error).replaceAll('\n', ' '));
  const indexes = new Map(tensors.map(({ name }, index) => [name, index]));
  const sizesBytes = tensors.map(({ sizeBytes }) => sizeBytes);
  const needs = new Map<number, Needs>();
  for (const { rank, tensors: kept } of parsed.data.ranks) {
    if (rank >= worldSize) throw invalid(path, `it has rank ${rank}, but the world has ${worldSize} ranks`);
    if (needs.has(rank)) throw invalid(path, `rank ${rank} twice`);
    const boxes = Object.entries(kept).flatMap(([name, slices]) => {
      const index = indexes.get(name);
      if (index === undefined) throw invalid(path, `tensor "${name}", which the checkpoint does not have`);
      const sizeBytes = sizesBytes[index]!;
      const rows = slices === 'whole' ? (sizeBytes === 0 ? [] : [[0, 1, sizeBytes, sizeBytes] as const]) : slices;
      return rows.map((row) => [index, ...row] as const);
    });
    const own: Needs = {
      tensor: Uint32Array.from(boxes, (box) => box[0]),
      offsetBytes: Float64Array.from(boxes, (box) => box[1]),
      rows: Float64Array.from(boxes, (box) => box[2]),
      rowBytes: Float64Array.from(boxes, (box) => box[3]),
      pitchBytes: Float64Array.from(boxes, (box) => box[4]),
      rest: new Uint32Array(0),
    };
    try {
      checkNeeds(own, sizesBytes);
    } catch (error) {
      throw invalid(path, `for rank ${rank} ${(error as Error).message}`);
    }
    needs.set(rank, own);
  }
  return needs;
}

/**
 * Writes the file that {@link readNeedsFile} reads.
 *
 * @param kept By rank.
 * @throws `CE_CONFIG_INVALID` It cannot be written.
 */
export async function writeNeedsFile({ path, flag }: OutputFile, kept: readonly KeptTensors[]): Promise<void> {
  const ranks = kept.map((tensors, rank) => ({ rank, tensors }));
  try {
    await writeOutputFile(path, `${JSON.stringify({ ranks })}\n`);
  } catch (error) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The file of ${flag}, "${path}", could not be written: ${(error as Error).message}`,
      `Correct ${flag}, and run the command again`,
      { file: path, cause: error },
    );
  }
}

async function read(path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await readInputFile(path));
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CheckpointEngineError(
      isAbsent ? 'CE_FILE_NOT_FOUND' : 'CE_FILE_UNREADABLE',
      isAbsent
        ? `The file of needs "${path}" does not exist`
        : `The needs in "${path}" cannot be read: ${(error as Error).message}`,
      'Correct --needs',
      { file: path, cause: error },
    );
  }
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(path, (error as Error).message);
  }
}

function invalid(path: string, what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The needs in "${path}" are not valid: ${what}`,
    'Write {"ranks": [{"rank": 0, "tensors": {"NAME": "whole"}}]}; instead of "whole", write slices [offset, rows, row bytes, pitch] in bytes',
    { file: path },
  );
}
