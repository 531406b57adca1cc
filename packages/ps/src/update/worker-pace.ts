import type { ReloadCost } from '@checkpoint-engine/planner';
import type { ProgressEvent } from '../progress-event.ts';

/** The first buckets of an update are not measured, because their worker warms up. */
const WARMUP = 1;
/** Fewer measurements are not sufficient. */
const MIN_SAMPLES = 4;

/** Figures with a smaller difference count as equal. */
const NEAR = 0.25;

interface Sample {
  readonly tensorCount: number;
  readonly ms: number;
}

/** The measured pace of this rank's worker over the updates of a server: the next update sizes its buckets by it. */
export class WorkerPace {
  #cost: ReloadCost | undefined;

  /** From the last update with enough measurements. */
  get cost(): ReloadCost | undefined {
    return this.#cost;
  }

  /** Listens to one update. @param tensorCountOf Number of tensors in a bucket, by its index. */
  follow(tensorCountOf: (bucket: number) => number): { observe(event: ProgressEvent): void; end(): void } {
    const startedAtMs = new Map<number, number>();
    const samples: Sample[] = [];
    return {
      observe: (event) => {
        if (event.type === 'bucket-start' && event.stage === 'reload') startedAtMs.set(event.bucket, event.atMs);
        if (event.type !== 'bucket-end' || event.stage !== 'reload') return;
        const from = startedAtMs.get(event.bucket);
        if (from === undefined) return;
        samples.push({ tensorCount: tensorCountOf(event.bucket), ms: event.atMs - from });
      },
      end: () => {
        const cost = costOf(samples.slice(WARMUP));
        if (cost !== undefined && !isNear(cost, this.#cost)) this.#cost = cost;
      },
    };
  }
}

/** Whether a new figure is close to the old one: an equal figure gives the next update the same plan. */
function isNear(cost: ReloadCost, known: ReloadCost | undefined): boolean {
  if (known === undefined) return false;
  const near = (one: number, other: number): boolean => Math.abs(one - other) <= NEAR * Math.max(one, other);
  return near(cost.bucketMs, known.bucketMs) && near(cost.tensorMs, known.tensorMs);
}

/**
 * Fits a line to the time of buckets by their number of tensors, with neither coefficient below 0. If all buckets have
 * the same number of tensors, the two cannot be separated, and all time counts for the bucket.
 */
function costOf(samples: readonly Sample[]): ReloadCost | undefined {
  if (samples.length < MIN_SAMPLES) return undefined;
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const tensors = mean(({ tensorCount }) => tensorCount);
  const ms = mean((sample) => sample.ms);
  const spread = mean(({ tensorCount }) => (tensorCount - tensors) ** 2);
  const common = mean((sample) => (sample.tensorCount - tensors) * (sample.ms - ms));
  const slope = spread === 0 ? 0 : common / spread;
  const tensorMs = Math.min(Math.max(0, slope), tensors === 0 ? 0 : ms / tensors);
  return { bucketMs: ms - tensorMs * tensors, tensorMs };
}

/** The maximum over several workers, for each coefficient: buckets pass through all of them. */
export function dearest(costs: readonly (ReloadCost | null | undefined)[]): ReloadCost | undefined {
  const known = costs.filter((cost) => cost !== undefined && cost !== null);
  if (known.length === 0) return undefined;
  return {
    bucketMs: Math.max(...known.map(({ bucketMs }) => bucketMs)),
    tensorMs: Math.max(...known.map(({ tensorMs }) => tensorMs)),
  };
}
