import type { HostMemory, MemoryRange } from '@checkpoint-engine/interface';
import { digestMemory } from '../digests/digest-memory.ts';
import { digestMismatch } from '../digests/digest-mismatch.ts';
import type { ExpectedDigests } from './expected-digests.ts';
import { READ_BACK_BYTES, type ReadBack } from './read-back.ts';
import { hashOf, type Sampling } from './sampling.ts';

/** Bytes of a tensor that have arrived in a memory. */
export interface ArrivedRange {
  readonly name: string;
  /** From the start of the tensor. */
  readonly positionBytes: number;
  /** From the start of the memory. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Input of {@link checkArrival}. */
export interface ArrivalContext {
  readonly rank: number;
  readonly expected: ExpectedDigests;
  readonly sampling: Sampling;
  readonly readBack: ReadBack;
  /** Called once everything to compare has been read from the memory, so that it may be used and overwritten. */
  readonly onRead: () => void;
}

interface Block extends ArrivedRange {
  readonly digest: bigint;
  readonly order: number;
}

/**
 * Compares bytes that have arrived in a memory with the registered ones: all blocks of tensors, or some. Skips blocks
 * whose digest is not known, and incomplete blocks.
 *
 * @returns The bytes that were compared.
 * @throws `CE_DIGEST_MISMATCH`
 */
export async function checkArrival(
  { memory }: Pick<MemoryRange, 'memory'>,
  ranges: readonly ArrivedRange[],
  context: ArrivalContext,
): Promise<number> {
  const blocks = chooseBlocks(ranges, context);
  if (blocks.length === 0) context.onRead();
  let bytes = 0;
  for (let at = 0; at < blocks.length; ) {
    const batch: Block[] = [];
    let filled = 0;
    while (at < blocks.length && (batch.length === 0 || filled + blocks[at]!.sizeBytes <= READ_BACK_BYTES)) {
      filled += blocks[at]!.sizeBytes;
      batch.push(blocks[at++]!);
    }
    await checkBatch({ memory }, batch, at === blocks.length ? context : { ...context, onRead: () => {} });
    bytes += filled;
  }
  return bytes;
}

async function checkBatch(
  range: Pick<MemoryRange, 'memory'>,
  batch: readonly Block[],
  { rank, readBack, onRead }: ArrivalContext,
): Promise<void> {
  const digestAt = (memory: HostMemory, offsets: readonly number[]): Promise<BigUint64Array> =>
    digestMemory(memory, {
      ranges: batch.map(({ sizeBytes, positionBytes }, sum) => {
        return { offsetBytes: offsets[sum]!, sizeBytes, positionBytes, sum };
      }),
      blockBytes: 0,
      sumCount: batch.length,
    });
  const sums = await readBack.with(range, batch, digestAt, onRead);
  for (const [at, { name, positionBytes, sizeBytes, digest }] of batch.entries()) {
    if (sums[at] === digest) continue;
    const place = { rank, tensor: name, offsetBytes: positionBytes, sizeBytes };
    throw digestMismatch({ ...place, expected: digest, seen: sums[at]!, leg: 'arrival' });
  }
}

/** Returns the sampled blocks, or the first block if there are none. */
function chooseBlocks(ranges: readonly ArrivedRange[], { expected, sampling }: ArrivalContext): Block[] {
  const chosen: Block[] = [];
  let first: Block | undefined;
  for (const { name, positionBytes, offsetBytes, sizeBytes } of ranges) {
    const tensor = expected.of(name);
    if (tensor === undefined) continue;
    const { blockBytes, meta } = tensor;
    const key = hashOf(name);
    const end = positionBytes + sizeBytes;
    for (let index = Math.ceil(positionBytes / blockBytes); index * blockBytes < end; index++) {
      const from = index * blockBytes;
      const size = Math.min(blockBytes, meta.sizeBytes - from);
      if (from + size > end) break;
      const order = sampling.rank(key, index);
      if (!sampling.has(key, index) && first !== undefined && first.order <= order) continue;
      const digest = tensor.block(index);
      if (digest === undefined) continue;
      const place = { name, positionBytes: from, offsetBytes: offsetBytes + from - positionBytes, sizeBytes: size };
      const block = { ...place, digest, order };
      if (sampling.has(key, index)) chosen.push(block);
      if (first === undefined || order < first.order) first = block;
    }
  }
  return chosen.length > 0 || first === undefined ? chosen : [first];
}
