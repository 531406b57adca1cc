import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';

const MIB = 2 ** 20;
const SMALLEST_BYTES = 16 * MIB;
const LARGEST_BYTES = 2048 * MIB;

/** What a worker of an inference engine takes for a bucket beside the copies that it waits for. */
export interface ReloadCost {
  /** For each bucket: its loader builds its tables anew for every call. */
  readonly bucketMs: number;
  /** For each tensor. */
  readonly tensorMs: number;
}

/** How fast bytes come to the workers. 1 GBps is 1e9 bytes a second. */
export interface LinkRates {
  /** Host to device, of one rank; ranks copy at the same time. */
  readonly h2dGBps: number;
  /** Of one broadcast to all ranks; broadcasts come one after the other. */
  readonly broadcastGBps: number;
}

/** What {@link preferBucketSize} decides from. */
export interface PreferBucketSizeInput {
  /** Of all tensors of all ranks. */
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly worldSize: number;
  readonly reload: ReloadCost;
  readonly links: LinkRates;
  /** No bucket may be larger, for the sake of memory. */
  readonly mostBytes: number;
}

/**
 * The size of buckets with which an update should take least time: small ones keep the links and the workers busy from
 * start to end, large ones cost the workers fewer calls. The smaller of sizes that are as good, from 16 MiB to 2 GiB.
 *
 * The update takes as long as its slower part, the links or the workers, and beside it one bucket's way through all of
 * the stages, while the others wait.
 *
 * @returns A multiple of 16 MiB; at most `mostBytes`, but for the smallest.
 * @throws {RangeError} A number is out of its range.
 */
export function preferBucketSize(input: PreferBucketSizeInput): number {
  check(input);
  let best = SMALLEST_BYTES;
  let bestMs = estimateMs(input, best);
  for (const bytes of candidates(Math.min(input.mostBytes, LARGEST_BYTES))) {
    const ms = estimateMs(input, bytes);
    if (ms >= bestMs) continue;
    best = bytes;
    bestMs = ms;
  }
  return best;
}

/** 16, 32, 48, 64, 96, 128, 192, 256 MiB and so on. */
function candidates(mostBytes: number): number[] {
  const sizes: number[] = [];
  for (let bytes = SMALLEST_BYTES; bytes <= mostBytes; bytes *= 2) {
    sizes.push(bytes);
    if (bytes > SMALLEST_BYTES && bytes * 1.5 <= mostBytes) sizes.push(bytes * 1.5);
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

function check({ totalBytes, tensorCount, worldSize, reload, links, mostBytes }: PreferBucketSizeInput): void {
  checkNotNegative('totalBytes', totalBytes);
  checkNotNegative('tensorCount', tensorCount);
  checkPositiveInteger('worldSize', worldSize);
  checkNotNegative('reload.bucketMs', reload.bucketMs);
  checkNotNegative('reload.tensorMs', reload.tensorMs);
  checkPositive('links.h2dGBps', links.h2dGBps);
  checkPositive('links.broadcastGBps', links.broadcastGBps);
  checkPositive('mostBytes', mostBytes);
}
