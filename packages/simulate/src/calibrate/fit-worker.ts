import type { TraceSpan } from './read-trace.ts';
import { busyMs, bytesOf, grouped, median } from './span-times.ts';

/** Times of a worker. */
export interface FittedWorker {
  readonly bucketMs: number;
  readonly tensorMs: number;
  /** The rate of its copies, if the time grows with the bytes. */
  readonly copyGBps?: number | undefined;
}

/** With fewer buckets, the time per bucket and the time per tensor cannot be separated. */
const MIN_BUCKETS = 4;

/**
 * Fits the times of a worker to its reloads, with a line through the times by number of tensors. If these numbers are
 * not known, or do not explain the times, all time is attributed to the bytes.
 *
 * @param tensorsOf Tensors of a bucket, by its number in the trace; `undefined` if the plan of the trace is not known.
 */
export function fitWorker(
  reloads: readonly TraceSpan[],
  tensorsOf: ((bucket: number) => number) | undefined,
): FittedWorker {
  const byRank = [...grouped(reloads, ({ rank }) => rank).values()];
  const worker = byRank.toSorted((a, b) => busyMs(b) - busyMs(a))[0]!;
  const durations = worker.map(({ fromMs, toMs }) => toMs - fromMs);
  const overlaps = durations.reduce((sum, ms) => sum + ms, 0) > 1.1 * busyMs(worker);
  if (tensorsOf !== undefined && !overlaps && worker.length >= MIN_BUCKETS) {
    const line = lineThrough(
      worker.map(({ name }) => tensorsOf(Number(name))),
      durations,
    );
    if (line.slope > 0 && line.offset >= 0) return { bucketMs: line.offset, tensorMs: line.slope };
  }
  return { bucketMs: 0, tensorMs: 0, copyGBps: median(byRank.map((own) => bytesOf(own) / busyMs(own) / 1e6)) };
}

/** Least squares. */
function lineThrough(xs: readonly number[], ys: readonly number[]): { slope: number; offset: number } {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(xs), mean(ys)];
  const spread = xs.reduce((sum, one) => sum + (one - x) ** 2, 0);
  const common = xs.reduce((sum, one, at) => sum + (one - x) * (ys[at]! - y), 0);
  const slope = spread === 0 ? 0 : common / spread;
  return { slope, offset: y - slope * x };
}
