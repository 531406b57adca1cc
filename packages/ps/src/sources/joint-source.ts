import type { MemoryRange } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import type { Stage } from '../progress-event.ts';
import { type BucketSource, stagesOf } from './bucket-source.ts';

/** Combines two sources: buckets that this rank holds, and buckets that it reads from peers. */
export class JointSource implements BucketSource {
  readonly #own: BucketSource;
  readonly #others: BucketSource;
  readonly #isOwn: (bucket: Bucket) => boolean;

  constructor(own: BucketSource, others: BucketSource, isOwn: (bucket: Bucket) => boolean) {
    this.#own = own;
    this.#others = others;
    this.#isOwn = isOwn;
  }

  stagesOf(bucket: Bucket): readonly Stage[] {
    return stagesOf(this.#of(bucket), bucket);
  }

  ready(bucket: Bucket): Promise<void> {
    return this.#of(bucket).ready(bucket);
  }

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    return this.#of(bucket).load(bucket, target);
  }

  async close(): Promise<void> {
    await Promise.all([this.#own.close(), this.#others.close()]);
  }

  #of(bucket: Bucket): BucketSource {
    return this.#isOwn(bucket) ? this.#own : this.#others;
  }
}
