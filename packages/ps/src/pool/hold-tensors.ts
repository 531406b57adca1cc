import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { tensorBytes } from '@checkpoint-engine/meta';
import { orderByAffinity } from '@checkpoint-engine/planner';
import { DigestBook, DigestTally } from '../digests/digest-book.ts';
import { digestMemory } from '../digests/digest-memory.ts';
import { rangesWithin } from '../digests/ranges-within.ts';
import type { NamedTensor } from '../registration.ts';
import { layOut } from '../sources/layout.ts';
import { PoolSource } from '../sources/pool-source.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import type { PoolContext } from './pool-context.ts';

/**
 * Copies the caller's tensors into the pool (no tensors: a rank that only receives). Releases everything before it
 * rejects.
 */
export async function holdTensors(
  name: string,
  given: readonly NamedTensor[],
  context: PoolContext,
): Promise<HeldCheckpoint> {
  check(name, given);
  const tensors = orderByAffinity(given);
  const { metas, sizeBytes: poolSize } = layOut(
    tensors.map((tensor) => ({ ...tensor, sizeBytes: tensor.bytes.byteLength })),
    0,
  );
  const totalBytes = metas.reduce((sum, meta) => sum + meta.sizeBytes, 0);
  const digests = context.digests ? new DigestBook(metas) : undefined;
  const tally = digests && new DigestTally(digests, context.store.rank);
  const memory = await context.acquirePool(poolSize);
  try {
    let doneBytes = 0;
    for (const [index, tensor] of tensors.entries()) {
      context.signal?.throwIfAborted();
      if (tensor.bytes.byteLength > 0) await memory.write(metas[index]!.offsetBytes, tensor.bytes);
      doneBytes += tensor.bytes.byteLength;
      context.onProgress(doneBytes, totalBytes);
    }
    await memory.pin();
    if (tally !== undefined) {
      const request = tally.requestOf(rangesWithin(metas, 0, poolSize));
      tally.add(request, await digestMemory(memory, request));
    }
  } catch (error) {
    context.releasePool(memory);
    throw error;
  }
  return {
    regions: [{ sizeBytes: memory.sizeBytes, memory }],
    tensors: metas,
    sizeBytes: totalBytes,
    poolBytes: memory.sizeBytes,
    warnings: [],
    removableFiles: [],
    digests,
    openSource: (options) => PoolSource.open([{ memory }], options),
    close: async () => context.releasePool(memory),
  };
}

function check(name: string, tensors: readonly NamedTensor[]): void {
  const seen = new Set<string>();
  for (const { name: tensor, dtype, shape, bytes } of tensors) {
    if (seen.has(tensor)) {
      throw new CheckpointEngineError(
        'CE_TENSOR_DUPLICATE',
        `Checkpoint "${name}" has tensor "${tensor}" twice`,
        'Pass each tensor once',
        { tensor },
      );
    }
    seen.add(tensor);
    const wanted = tensorBytes(dtype, shape);
    if (bytes.byteLength !== wanted) {
      throw new RangeError(
        `Tensor "${tensor}": ${dtype} [${shape.join(', ')}] takes ${wanted} bytes, but ${bytes.byteLength} were given`,
      );
    }
  }
}
