import { addDigests } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { Mismatch } from '../digests/digest-mismatch.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { blocksOf } from '../verify/held-windows.ts';
import { askAndCompare, type HeldWorkers } from './ask-held.ts';

/** Number of tensors whose blocks are compared. */
const MAX_TENSORS = 100;

/**
 * Narrows differences to the blocks that differ: each difference then ranges from the first one of its tensor to the
 * last. Called on all ranks of the workers' scope.
 *
 * @param differing Differences of whole tensors. Those beyond the first 100 tensors of all ranks stay as they are.
 */
export async function narrowToBlocks(
  run: UpdateRun,
  workers: HeldWorkers,
  differing: readonly Mismatch[],
): Promise<readonly Mismatch[]> {
  const { context, verifier, waiting } = run;
  const { metas } = tensorsByName(context.metas);
  const own = [...new Set(differing.slice(0, MAX_TENSORS).map(({ tensor }) => tensor))];
  const replies = await exchange(workers.scope, 'differing', () => encode(own), waiting);
  const names = [...new Set(replies.flatMap((reply) => decodeFromRank<string[]>(reply)))].sort().slice(0, MAX_TENSORS);
  if (names.length === 0) return differing;
  const narrowed = new Set(names);
  const windows = [...metas.entries()].flatMap(([index, { name }]) =>
    narrowed.has(name) && workers.cover.boxes.has(index) ? blocksOf(index, verifier.expected.toldOf(name)!) : [],
  );
  const blocks = await askAndCompare(run, workers, windows, 'held digests of blocks');
  return differing.map((whole) => {
    const found = blocks.differing.filter(({ tensor }) => tensor === whole.tensor);
    if (found.length === 0) return whole;
    const { offsetBytes } = found[0]!;
    const { offsetBytes: last, sizeBytes } = found.at(-1)!;
    return {
      ...whole,
      offsetBytes,
      sizeBytes: last + sizeBytes - offsetBytes,
      // Covers the blocks that differ, without blocks between them that are equal.
      expected: addDigests(found.map((block) => block.expected)),
      seen: addDigests(found.map((block) => block.seen)),
    };
  });
}
