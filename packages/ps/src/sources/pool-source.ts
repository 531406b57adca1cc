import type { HostMemory, MemoryRange, Stream } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, bucketLayout } from '@checkpoint-engine/planner';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import type { PlacedFile } from './placed-file.ts';

/** A region of a pool: memory of this process, or a file that is used in place. */
export interface PoolRegion {
  readonly memory: HostMemory;
  readonly placed?: PlacedFile | undefined;
}

/** Buckets from this rank's host pool: one copy to the device per run of neighboring tensors. */
export class PoolSource implements BucketSource {
  readonly #metas: RankMetas;
  readonly #regions: readonly PoolRegion[];
  readonly #stream: Stream;
  readonly #alignBytes: number;

  private constructor(regions: readonly PoolRegion[], { metas, stream, alignBytes }: SourceOptions) {
    this.#metas = metas;
    this.#regions = regions;
    this.#stream = stream;
    this.#alignBytes = alignBytes;
  }

  /**
   * @param regions In the order of the metas' regions.
   * @throws `CE_FILE_CHANGED` A file that is used in place has changed since registration.
   */
  static async open(regions: readonly PoolRegion[], options: SourceOptions): Promise<PoolSource> {
    for (const { placed } of regions) await placed?.checkUnchanged();
    return new PoolSource(regions, options);
  }

  async ready(): Promise<void> {}

  /** @throws `CE_FILE_CHANGED` A file changed before its bytes were copied. */
  async load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const { copies } = bucketLayout(this.#metas, bucket, this.#alignBytes);
    await this.#stream.copy(
      copies.map(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => ({
        from: { memory: this.#regions[region]!.memory, offsetBytes, sizeBytes },
        to: { memory: target.memory, offsetBytes: target.offsetBytes + bucketOffsetBytes, sizeBytes },
      })),
    );
    for (const region of new Set(copies.map((copy) => copy.region))) {
      await this.#regions[region]!.placed?.checkUnchanged();
    }
  }

  async close(): Promise<void> {}
}
