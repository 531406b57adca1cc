import type { HostMemory, MemoryRange, Stream } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, bucketLayout } from '@checkpoint-engine/planner';
import type { BucketSource, SourceOptions } from './bucket-source.ts';

/** The bytes lie in this rank's host pool: one copy to the device for each run of neighbours. */
export class PoolSource implements BucketSource {
  readonly #metas: RankMetas;
  readonly #regions: readonly HostMemory[];
  readonly #stream: Stream;
  readonly #alignBytes: number;

  /** @param regions In the order of the metas' regions. */
  constructor(regions: readonly HostMemory[], { metas, stream, alignBytes }: SourceOptions) {
    this.#metas = metas;
    this.#regions = regions;
    this.#stream = stream;
    this.#alignBytes = alignBytes;
  }

  async ready(): Promise<void> {}

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const { copies } = bucketLayout(this.#metas, bucket, this.#alignBytes);
    return this.#stream.copy(
      copies.map(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => ({
        from: { memory: this.#regions[region]!, offsetBytes, sizeBytes },
        to: { memory: target.memory, offsetBytes: target.offsetBytes + bucketOffsetBytes, sizeBytes },
      })),
    );
  }

  async close(): Promise<void> {}
}
