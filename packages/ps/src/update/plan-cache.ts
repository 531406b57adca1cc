import { type Plan, planBuckets } from '@checkpoint-engine/planner';
import { ALIGN_BYTES } from '../pool/layout.ts';
import type { WorldMetas } from '../server/api.ts';

/** Remembers the last plan: the same metas and the same bucket size give the same plan, made once. */
export class PlanCache {
  #key = '';
  #plan: Plan | undefined;

  /** @param digest Digest of `metas`. */
  get(metas: WorldMetas, digest: string, bucketBytes: number): Plan {
    const key = `${digest}:${bucketBytes}`;
    if (this.#plan === undefined || this.#key !== key) {
      this.#plan = planBuckets(metas, { bucketBytes, alignBytes: ALIGN_BYTES });
      this.#key = key;
    }
    return this.#plan;
  }
}
