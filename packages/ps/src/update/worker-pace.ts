import type { ReloadCost } from '@checkpoint-engine/planner';
import type { ProgressEvent } from '../api.ts';

/** Buckets of an update that are not measured: their worker warms up. */
const WARMUP = 1;
/** With fewer there is nothing to learn. */
const LEAST_SAMPLES = 4;

/** Figures that differ by less are taken for the same. */
const NEAR = 0.25;

interface Sample {
  readonly tensorCount: number;
  readonly ms: number;
}

/** What this rank's worker took for buckets, over the updates of a server: the next one sizes its buckets by it. */
export class WorkerPace {
  #cost: ReloadCost | undefined;

  /** Of the last update that told enough. */
  get cost(): ReloadCost | undefined {
    return this.#cost;
  }

  /** Listens to one update. @param tensorCountOf Of a bucket, by its index. */
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

/** Whether a new figure tells nothing new: with the same one the next update has the same plan. */
function isNear(cost: ReloadCost, known: ReloadCost | undefined): boolean {
  if (known === undefined) return false;
  const near = (one: number, other: number): boolean => Math.abs(one - other) <= NEAR * Math.max(one, other);
  return near(cost.bucketMs, known.bucketMs) && near(cost.tensorMs, known.tensorMs);
}

/**
 * The line through what buckets took by their tensors, neither part of it below 0. Where all buckets have as many
 * tensors it cannot be told apart, and is the bucket's.
 */
function costOf(samples: readonly Sample[]): ReloadCost | undefined {
  if (samples.length < LEAST_SAMPLES) return undefined;
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

/** The dearest of several workers, part by part: buckets pass through all of them. */
export function dearest(costs: readonly (ReloadCost | null | undefined)[]): ReloadCost | undefined {
  const known = costs.filter((cost) => cost !== undefined && cost !== null);
  if (known.length === 0) return undefined;
  return {
    bucketMs: Math.max(...known.map(({ bucketMs }) => bucketMs)),
    tensorMs: Math.max(...known.map(({ tensorMs }) => tensorMs)),
  };
}
