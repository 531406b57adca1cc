import { type BucketSizing, DEFAULT_ALIGN_BYTES, type Plan, planBuckets } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';

/** Remembers the last plan, so that the same metas and the same sizes are planned once. */
export class PlanCache {
  #key = '';
  #plan: Plan | undefined;

  /** @param digest Digest of `metas`. */
  get(metas: WorldMetas, digest: string, { bucketBytes, fillBytes }: BucketSizing): Plan {
    const key = `${digest}:${bucketBytes}:${fillBytes}`;
    if (this.#plan === undefined || this.#key !== key) {
      this.#plan = planBuckets(metas, { bucketBytes, fillBytes, alignBytes: DEFAULT_ALIGN_BYTES });
      this.#key = key;
    }
    return this.#plan;
  }
}
