import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';

const MIB = 2 ** 20;
const SMALLEST_BYTES = 16 * MIB;
const LARGEST_BYTES = 2048 * MIB;

/** Time that a worker of an inference engine needs for a bucket, in addition to the copies that it waits for. */
export interface ReloadCost {
  /** Time per bucket, because the loader rebuilds its tables in every call. */
  readonly bucketMs: number;
  /** Time per tensor. */
  readonly tensorMs: number;
}

/** Rate at which bytes reach the workers. 1 GBps is 1e9 bytes per second. */
export interface LinkRates {
  /** Host-to-device rate of one rank; ranks copy at the same time. */
  readonly h2dGBps: number;
  /** Rate of one broadcast to all ranks; broadcasts run one after another. */
  readonly broadcastGBps: number;
}

/** Input of {@link preferBucketSize}. */
export interface PreferBucketSizeInput {
  /** Bytes of all tensors of all ranks. */
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly worldSize: number;
  readonly reload: ReloadCost;
  readonly links: LinkRates;
  /** Largest bucket size that memory allows. */
  readonly maxBytes: number;
}

/**
 * Returns the bucket size with which an update should take the least time: small buckets keep the links and the workers
 * busy from start to end, large ones cost the workers fewer calls. Of equally good sizes from 16 MiB to 2 GiB, the
 * function returns the smallest.
 *
 * The update takes as long as its slower part, the links or the workers, plus the time of one bucket in all other
 * stages, while the slower part waits.
 *
 * @returns A multiple of 16 MiB; at most `maxBytes`, except for the smallest size.
 * @throws {RangeError} A number is outside of its range.
 */
export function preferBucketSize(input: PreferBucketSizeInput): number {
  check(input);
  let best = SMALLEST_BYTES;
  let bestMs = estimateMs(input, best);
  for (const bytes of candidates(Math.min(input.maxBytes, LARGEST_BYTES))) {
    const ms = estimateMs(input, bytes);
    if (ms >= bestMs) continue;
    best = bytes;
    bestMs = ms;
  }
  return best;
}

/** 16, 32, 48, 64, 96, 128, 192, 256 MiB and so on. */
function candidates(maxBytes: number): number[] {
  const sizes: number[] = [];
  for (let bytes = SMALLEST_BYTES; bytes <= maxBytes; bytes *= 2) {
    sizes.push(bytes);
    if (bytes > SMALLEST_BYTES && bytes * 1.5 <= maxBytes) sizes.push(bytes * 1.5);
  }
  return sizes;
}

function estimateMs({ totalBytes, tensorCount, worldSize, reload, links }: PreferBucketSizeInput, bytes: number) {
  const copyMs = (size: number): number => size / (links.h2dGBps * 1e6);
  const broadcastMs = (size: number): number => (worldSize === 1 ? 0 : size / (links.broadcastGBps * 1e6));
  const bucketCount = Math.max(1, totalBytes / bytes);
  const reloadMs = bucketCount * reload.bucketMs + tensorCount * reload.tensorMs;
  const linkMs = Math.max(copyMs(totalBytes / worldSize), broadcastMs(totalBytes));
  const size = Math.min(bytes, totalBytes);
  return Math.max(linkMs, reloadMs) + copyMs(size) + broadcastMs(size) + reloadMs / bucketCount;
}

function check({ totalBytes, tensorCount, worldSize, reload, links, maxBytes }: PreferBucketSizeInput): void {
  checkNotNegative('totalBytes', totalBytes);
  checkNotNegative('tensorCount', tensorCount);
  checkPositiveInteger('worldSize', worldSize);
  checkNotNegative('reload.bucketMs', reload.bucketMs);
  checkNotNegative('reload.tensorMs', reload.tensorMs);
  checkPositive('links.h2dGBps', links.h2dGBps);
  checkPositive('links.broadcastGBps', links.broadcastGBps);
  checkPositive('maxBytes', maxBytes);
}
