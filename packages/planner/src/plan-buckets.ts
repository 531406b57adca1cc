import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import { checkPositiveInteger, checkPowerOfTwo } from './check-argument.ts';
import { Digest } from './digest.ts';
import { formatBytesExactly } from './format-bytes.ts';
import { interleave } from './interleave.ts';
import type { Bucket, Plan } from './plan.ts';

/** Options of {@link planBuckets}. */
export interface PlanBucketsOptions {
  /** No bucket is larger: the size of a slot. */
  readonly bucketBytes: number;
  /**
   * A bucket is closed rather than filled beyond this; only a tensor that is larger by itself makes a larger bucket.
   * Keeps the pipeline fine-grained where slots had to grow for one large tensor. @default `bucketBytes`
   */
  readonly fillBytes?: number | undefined;
  /** Tensors start at multiples of this power of two. @default 256 */
  readonly alignBytes?: number | undefined;
  /** Bounds the message that announces a bucket to a worker. @default 8192 */
  readonly maxTensorsPerBucket?: number | undefined;
}

type Limits = { readonly [Option in keyof PlanBucketsOptions]-?: NonNullable<PlanBucketsOptions[Option]> };
type UnplacedBucket = Omit<Bucket, 'index'>;

/**
 * Cuts what all ranks own into buckets and puts these into the order in which they are sent.
 *
 * Every tensor, empty ones too, is in exactly one bucket. A bucket is a run of neighbours of one owner, filled in pool
 * order until the next tensor does not fit. Buckets of different owners are interleaved so that at any point of the
 * plan all owners have sent the same share of their bytes, give or take half a bucket: all owners copy to their
 * devices while others send, those with more bytes start earlier and come more often, all finish together.
 *
 * The plan depends on the metas and the options alone, not on the order of `metasByRank`. Tensor names are not checked:
 * see {@link checkUniqueTensors}.
 *
 * @param metasByRank One entry a rank. Ranks without tensors get no bucket. Not changed.
 * @throws {CheckpointEngineError} `CE_PLAN_MEMORY_TOO_SMALL` naming a tensor that is larger than `bucketBytes`;
 *   `CE_METAS_INVALID` when a rank is there twice.
 * @throws {RangeError} An option is out of its range.
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
        `The metas name rank ${rank} twice, wanted one entry a rank`,
        'Gather the metas again, or load a metas file of one world only',
        { rank },
      );
    }
  }
  return owners;
}

/** The buckets of one owner, in pool order, and the bytes of its tensors. */
function cut({ rank, tensors }: RankMetas, limits: Limits): { buckets: UnplacedBucket[]; totalBytes: number } {
  const { bucketBytes, fillBytes, alignBytes, maxTensorsPerBucket } = limits;
  const buckets: UnplacedBucket[] = [];
  let totalBytes = 0;
  let firstTensor = 0;
  let endBytes = 0;
  const close = (next: number): void => {
    buckets.push({ ownerRank: rank, sizeBytes: endBytes, firstTensor, tensorCount: next - firstTensor });
    firstTensor = next;
    endBytes = 0;
  };
  for (let index = 0; index < tensors.length; index++) {
    const { sizeBytes } = tensors[index]!;
    if (sizeBytes > bucketBytes) throw tensorTooLargeError(tensors[index]!, rank, bucketBytes);
    const alignedBytes = alignUp(endBytes, alignBytes) + sizeBytes;
    const full = alignedBytes > fillBytes || index - firstTensor === maxTensorsPerBucket;
    if (full && index > firstTensor) {
      close(index);
      endBytes = sizeBytes;
    } else {
      endBytes = alignedBytes;
    }
    totalBytes += sizeBytes;
  }
  if (tensors.length > 0) close(tensors.length);
  return { buckets, totalBytes };
}

function placed({ ownerRank, sizeBytes, firstTensor, tensorCount }: UnplacedBucket, index: number): Bucket {
  return { index, ownerRank, sizeBytes, firstTensor, tensorCount };
}

function tensorTooLargeError({ name, sizeBytes }: ParameterMeta, rank: number, bucketBytes: number): Error {
  return new CheckpointEngineError(
    'CE_PLAN_MEMORY_TOO_SMALL',
    `Tensor "${name}" of rank ${rank} has ${formatBytesExactly(sizeBytes)} but a bucket holds ${formatBytesExactly(bucketBytes)}`,
    `Plan with buckets of ${sizeBytes} bytes or more: a tensor is never split`,
    { rank, tensor: name },
  );
}

/**
 * Covers the options, the buckets in their order, and the name of the first tensor of each. Not every tensor: that
 * would cost several times what planning does, and is what a digest of the metas is for.
 */
function digestOf(owners: readonly RankMetas[], limits: Limits, buckets: readonly Bucket[]): string {
  const tensorsOf = new Map(owners.map(({ rank, tensors }) => [rank, tensors]));
  const digest = new Digest();
  digest.addNumber(limits.bucketBytes);
  digest.addNumber(limits.alignBytes);
  for (const { ownerRank, sizeBytes, firstTensor, tensorCount } of buckets) {
    digest.addNumber(ownerRank);
    digest.addNumber(sizeBytes);
    digest.addNumber(firstTensor);
    digest.addNumber(tensorCount);
    digest.addString(tensorsOf.get(ownerRank)![firstTensor]!.name);
  }
  return digest.toHex();
}
