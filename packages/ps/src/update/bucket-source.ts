import type { HostMemory, MemoryRange, Stream } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, bucketLayout } from '@checkpoint-engine/planner';

/** Where the bytes of this rank's buckets come from: the host pool, a remote pool, a file. */
export interface BucketSource {
  /** Brings a bucket's bytes into device memory. Resolves when they are there. Calls may overlap. */
  load(bucket: Bucket, target: MemoryRange): Promise<void>;
}

/** The bytes lie in this rank's host pool: one copy to the device for each run of neighbours. */
export class PoolSource implements BucketSource {
  readonly #metas: RankMetas;
  readonly #regions: readonly HostMemory[];
  readonly #stream: Stream;
  readonly #alignBytes: number;

  constructor(metas: RankMetas, regions: readonly HostMemory[], stream: Stream, alignBytes: number) {
    this.#metas = metas;
    this.#regions = regions;
    this.#stream = stream;
    this.#alignBytes = alignBytes;
  }

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const { copies } = bucketLayout(this.#metas, bucket, this.#alignBytes);
    return this.#stream.copy(
      copies.map(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => ({
        from: { memory: this.#regions[region]!, offsetBytes, sizeBytes },
        to: { memory: target.memory, offsetBytes: target.offsetBytes + bucketOffsetBytes, sizeBytes },
      })),
    );
  }
}
