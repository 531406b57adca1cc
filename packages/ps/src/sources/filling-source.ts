import type { MemoryRange } from '@checkpoint-engine/interface';
import { type Bucket, bucketTensors } from '@checkpoint-engine/planner';
import type { Stage } from '../progress-event.ts';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import type { PoolFill } from './pool-fill.ts';
import type { PoolSource } from './pool-source.ts';

/** The pool's region in the metas. */
const POOL = 0;

/** A pool that is still being filled: a bucket is ready once its bytes were read. Other regions are complete. */
export class FillingSource implements BucketSource {
  readonly #pool: PoolSource;
  readonly #fill: PoolFill;
  readonly #options: SourceOptions;
  readonly #announced = new Set<number>();
  #isClosed = false;

  /** Resumes filling after a failure. */
  constructor(pool: PoolSource, fill: PoolFill, options: SourceOptions) {
    this.#pool = pool;
    this.#fill = fill;
    this.#options = options;
    if (fill.isLoaded && options.reportsReads !== true) return;
    fill.start();
    for (const bucket of options.buckets) this.#announce(bucket);
  }

  stagesOf({ index }: Bucket): readonly Stage[] {
    return this.#announced.has(index) ? ['read', 'h2d'] : ['h2d'];
  }

  async ready(bucket: Bucket): Promise<void> {
    await this.#range(bucket)?.read;
  }

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    return this.#pool.load(bucket, target);
  }

  /** Filling continues. */
  async close(): Promise<void> {
    this.#isClosed = true;
  }

  /** `undefined` for a bucket in other regions. */
  #range(bucket: Bucket): ReturnType<PoolFill['range']> | undefined {
    const pooled = bucketTensors(this.#options.metas, bucket).filter(
      ({ region, sizeBytes }) => region === POOL && sizeBytes > 0,
    );
    const last = pooled.at(-1);
    return last && this.#fill.range(pooled[0]!.offsetBytes, last.offsetBytes + last.sizeBytes);
  }

  /** Reports when a bucket is read, or that it was read before the update. */
  #announce(bucket: Bucket): void {
    const range = this.#range(bucket);
    const { metas, emit } = this.#options;
    const reportAt = (type: 'bucket-start' | 'bucket-end') => (atMs: number) => {
      const event = { rank: metas.rank, stage: 'read', bucket: bucket.index, sizeBytes: bucket.sizeBytes } as const;
      if (!this.#isClosed) emit({ type, ...event, atMs });
    };
    if (range === undefined) return;
    this.#announced.add(bucket.index);
    range.started.then(reportAt('bucket-start'));
    range.read.then(reportAt('bucket-end'), () => {});
  }
}
