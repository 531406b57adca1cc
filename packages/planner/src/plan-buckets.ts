import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { affinityOf } from './affinity.ts';
import { affinityKey } from './affinity-key.ts';
import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import { checkPositiveInteger, checkPowerOfTwo } from './check-argument.ts';
import { Digest } from './digest.ts';
import { formatBytesExactly } from './format-bytes.ts';
import { interleave } from './interleave.ts';
import type { Bucket, Plan } from './plan.ts';

/** Options of {@link planBuckets}. */
export interface PlanBucketsOptions {
  /** The size of a slot; no bucket is larger. */
  readonly bucketBytes: number;
  /**
   * The planner closes a bucket rather than fill it beyond this size; only a group of tensors that is larger makes a
   * larger bucket. This keeps the pipeline fine-grained if slots had to grow for one large group.
   * @default `bucketBytes`
   */
  readonly fillBytes?: number | undefined;
  /** Tensors start at multiples of this power of two. @default 256 */
  readonly alignBytes?: number | undefined;
  /**
   * Maximum number of tensors in a bucket; only a larger group exceeds it. Bounds the message that announces a bucket
   * to a worker.
   * @default 8192
   */
  readonly maxTensorsPerBucket?: number | undefined;
}

type Limits = { readonly [Option in keyof PlanBucketsOptions]-?: NonNullable<PlanBucketsOptions[Option]> };
type UnplacedBucket = Omit<Bucket, 'index'>;

/**
 * Divides the tensors of all ranks into buckets, and puts these into sending order.
 *
 * Every tensor, including an empty one, is in exactly one bucket. Tensors of one owner that a loader needs in one call
 * (see {@link affinityKey}) are in the same bucket. The planner fills a bucket in pool order until the next group does
 * not fit; if the pool keeps groups together, a bucket is a run of neighbors. Buckets of different owners are
 * interleaved so that at any point of the plan all owners have sent the same share of their bytes, give or take half a
 * bucket: all owners copy to their devices while others send, those with more bytes start earlier and come more often,
 * and all finish together.
 *
 * The plan depends on the metas and the options alone, not on the order of `metasByRank`. The function does not check
 * tensor names: see {@link checkUniqueTensors}.
 *
 * @param metasByRank One entry per rank. Ranks without tensors get no bucket. The function does not change it.
 * @throws {CheckpointEngineError} `CE_PLAN_MEMORY_TOO_SMALL` naming a tensor, or the first of a group, that is
 *   larger than `bucketBytes`;
 *   `CE_METAS_INVALID` when a rank appears twice.
 * @throws {RangeError} An option is outside of its range.
 * @example
 * ```ts
 * const plan = planBuckets(metasByRank, { bucketBytes: 256 * 2 ** 20 });
 * for (const bucket of plan.buckets) console.log(bucket.ownerRank, bucket.sizeBytes);
 * ```
 */
export function planBuckets(metasByRank: readonly RankMetas[], options: PlanBucketsOptions): Plan {
  const limits = limitsOf(options);
  const owners = byRank(metasByRank);
  const runs = owners.map((metas) => cut(metas, limits));
  const buckets = interleave(runs.map(({ buckets }) => buckets)).map(placed);
  return {
    bucketBytes: limits.bucketBytes,
    alignBytes: limits.alignBytes,
    totalBytes: runs.reduce((sum, { totalBytes }) => sum + totalBytes, 0),
    tensorCount: owners.reduce((sum, { tensors }) => sum + tensors.length, 0),
    buckets,
    digest: digestOf(owners, limits, buckets),
  };
}

function limitsOf({ bucketBytes, fillBytes, alignBytes, maxTensorsPerBucket }: PlanBucketsOptions): Limits {
  const limits = {
    bucketBytes,
    fillBytes: Math.min(fillBytes ?? bucketBytes, bucketBytes),
    alignBytes: alignBytes ?? DEFAULT_ALIGN_BYTES,
    maxTensorsPerBucket: maxTensorsPerBucket ?? 8192,
  };
  checkPositiveInteger('bucketBytes', limits.bucketBytes);
  checkPositiveInteger('fillBytes', limits.fillBytes);
  checkPowerOfTwo('alignBytes', limits.alignBytes);
  checkPositiveInteger('maxTensorsPerBucket', limits.maxTensorsPerBucket);
  return limits;
}

function byRank(metasByRank: readonly RankMetas[]): RankMetas[] {
  const owners = metasByRank.toSorted((a, b) => a.rank - b.rank);
  for (const [index, { rank }] of owners.entries()) {
    if (owners[index + 1]?.rank === rank) {
      throw new CheckpointEngineError(
        'CE_METAS_INVALID',
        `The metas name rank ${rank} twice, expected one entry per rank`,
        'Gather the metas again, or load a metas file of one world only',
        { rank },
      );
    }
  }
  return owners;
}

/** Returns the buckets of one owner in the order of its groups, and the bytes of its tensors. */
function cut(metas: RankMetas, limits: Limits): { buckets: UnplacedBucket[]; totalBytes: number } {
  const { rank, tensors } = metas;
  const { bucketBytes, fillBytes, alignBytes, maxTensorsPerBucket } = limits;
  const { order, starts } = affinityOf(tensors);
  const buckets: UnplacedBucket[] = [];
  let totalBytes = 0;
  let first = 0;
  let endBytes = 0;
  const close = (next: number): void => {
    const bucket = { ownerRank: rank, sizeBytes: endBytes, firstTensor: first, tensorCount: next - first };
    buckets.push(order === undefined ? bucket : picked(bucket, order, metas, alignBytes));
    first = next;
    endBytes = 0;
  };
  const sorted = order === undefined ? tensors : Array.from(order, (index) => tensors[index]!);
  const count = sorted.length;
  for (let start = 0; start < count; ) {
    let groupBytes = sorted[start]!.sizeBytes;
    let next = start + 1;
    totalBytes += groupBytes;
    while (next < count && starts[next] === 0) {
      const { sizeBytes } = sorted[next++]!;
      groupBytes = alignUp(groupBytes, alignBytes) + sizeBytes;
      totalBytes += sizeBytes;
    }
    if (groupBytes > bucketBytes) throw tooLargeError(sorted.slice(start, next), groupBytes, rank, bucketBytes);
    const filledBytes = alignUp(endBytes, alignBytes) + groupBytes;
    // In pool order another tensor may be the last one, which needs no alignment after it.
    const maxBytes = order === undefined ? filledBytes : alignUp(filledBytes, alignBytes);
    if (start > first && (maxBytes > fillBytes || next - first > maxTensorsPerBucket)) {
      close(start);
      endBytes = groupBytes;
    } else {
      endBytes = filledBytes;
    }
    start = next;
  }
  if (tensors.length > 0) close(tensors.length);
  return { buckets, totalBytes };
}

/**
 * Creates a bucket whose tensors are scattered in the pool. It holds them in pool order, so that few copies suffice.
 */
function picked(bucket: UnplacedBucket, order: Int32Array, { tensors }: RankMetas, alignBytes: number): UnplacedBucket {
  const { firstTensor, tensorCount } = bucket;
  const indices = [...order.slice(firstTensor, firstTensor + tensorCount).sort()];
  let sizeBytes = 0;
  for (const index of indices) sizeBytes = alignUp(sizeBytes, alignBytes) + tensors[index]!.sizeBytes;
  const areNeighbours = indices.at(-1)! - indices[0]! === tensorCount - 1;
  return { ...bucket, sizeBytes, firstTensor: indices[0]!, ...(areNeighbours ? undefined : { indices }) };
}

function placed({ indices, ...bucket }: UnplacedBucket, index: number): Bucket {
  return indices === undefined ? { index, ...bucket } : { index, ...bucket, indices };
}

function tooLargeError(group: readonly ParameterMeta[], groupBytes: number, rank: number, bucketBytes: number): Error {
  const { name } = group[0]!;
  const what =
    group.length === 1
      ? `Tensor "${name}" of rank ${rank} has`
      : `The ${group.length} tensors "${affinityKey(name)}" of rank ${rank}, which are loaded in one call, have`;
  return new CheckpointEngineError(
    'CE_PLAN_MEMORY_TOO_SMALL',
    `${what} ${formatBytesExactly(groupBytes)} but a bucket holds ${formatBytesExactly(bucketBytes)}`,
    `Plan with buckets of ${groupBytes} bytes or more: the planner never splits a tensor or such a group`,
    { rank, tensor: name },
  );
}

/**
 * Covers the options, the buckets in order, and the name of the first tensor of each bucket. Covering every tensor
 * would cost several times as much as planning; a digest of the metas serves that purpose.
 */
function digestOf(owners: readonly RankMetas[], limits: Limits, buckets: readonly Bucket[]): string {
  const tensorsOf = new Map(owners.map(({ rank, tensors }) => [rank, tensors]));
  const digest = new Digest();
  digest.addNumber(limits.bucketBytes);
  digest.addNumber(limits.alignBytes);
  for (const { ownerRank, sizeBytes, firstTensor, tensorCount, indices } of buckets) {
    digest.addNumber(ownerRank);
    digest.addNumber(sizeBytes);
    digest.addNumber(firstTensor);
    digest.addNumber(tensorCount);
    digest.addString(tensorsOf.get(ownerRank)![firstTensor]!.name);
    for (const index of indices ?? []) digest.addNumber(index);
  }
  return digest.toHex();
}
