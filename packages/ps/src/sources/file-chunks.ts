import type { Copy, HostMemory, MemoryRange } from '@checkpoint-engine/interface';
import { type Bucket, type BucketCopy, bucketLayout, bucketTensors } from '@checkpoint-engine/planner';
import type { DigestTally, TensorRange } from '../digests/digest-book.ts';
import type { SourceOptions } from './bucket-source.ts';
import type { ChunkReader } from './read-ahead-source.ts';
import { readUnchanged } from './read-unchanged.ts';
import { type Chunk, copiesWithin } from './stream-chunk.ts';
import { copiesOf, readsOf, type StreamRegion } from './stream-region.ts';

/** Chunks from the files of this rank's share, which are compared with their state at registration. */
export class FileChunks implements ChunkReader {
  readonly #regions: readonly StreamRegion[];
  readonly #memory: HostMemory;
  readonly #options: Pick<SourceOptions, 'metas' | 'alignBytes' | 'logger'>;
  readonly #tally: DigestTally | undefined;

  /**
   * @param regions In the order of the metas' regions.
   * @param memory  The ring for the chunks.
   * @param tally   Compares the bytes of one update with those that were read before.
   */
  constructor(
    regions: readonly StreamRegion[],
    memory: HostMemory,
    options: Pick<SourceOptions, 'metas' | 'alignBytes' | 'logger'>,
    tally?: DigestTally,
  ) {
    this.#regions = regions;
    this.#memory = memory;
    this.#options = options;
    this.#tally = tally;
  }

  async read(chunk: Chunk, place: MemoryRange, signal: AbortSignal): Promise<void> {
    const { metas, logger } = this.#options;
    const copies = this.#copies(chunk);
    const files = new Set(copies.flatMap(({ region }) => this.#regions[region]!.file ?? []));
    const reads = readsOf(copies, this.#regions, place);
    const fields = { rank: metas.rank, bucket: chunk.bucket.index };
    const digest = this.#tally && { tally: this.#tally, ranges: this.#ranges(chunk, place, this.#tally) };
    await readUnchanged({ memory: this.#memory, reads, files, signal, logger, fields, digest });
  }

  copies(chunk: Chunk, place: MemoryRange, target: MemoryRange): readonly Copy[] {
    return copiesOf(this.#copies(chunk), this.#regions, place, target);
  }

  async checkCopied(bucket: Bucket): Promise<void> {
    const { metas } = this.#options;
    const { firstTensor, tensorCount } = bucket;
    const tensors = metas.tensors.slice(firstTensor, firstTensor + tensorCount);
    for (const region of new Set(tensors.map((tensor) => tensor.region))) {
      await this.#regions[region]!.placed?.checkUnchanged();
    }
  }

  /** The ranges of a chunk's tensors that are read from files. */
  #ranges({ bucket, fromBytes, toBytes }: Chunk, place: MemoryRange, tally: DigestTally): TensorRange[] {
    const { metas, alignBytes } = this.#options;
    const regions = bucketTensors(metas, bucket).map(({ region }) => region);
    return bucketLayout(metas, bucket, alignBytes).tensors.flatMap(({ name, offsetBytes, sizeBytes }, index) => {
      const from = Math.max(offsetBytes, fromBytes);
      const to = Math.min(offsetBytes + sizeBytes, toBytes);
      if (from >= to || this.#regions[regions[index]!]!.file === undefined) return [];
      const startBytes = place.offsetBytes + from - fromBytes;
      return [
        {
          tensor: tally.indexOf(name),
          positionBytes: from - offsetBytes,
          offsetBytes: startBytes,
          sizeBytes: to - from,
        },
      ];
    });
  }

  #copies(chunk: Chunk): BucketCopy[] {
    const { metas, alignBytes } = this.#options;
    return copiesWithin(bucketLayout(metas, chunk.bucket, alignBytes).copies, chunk);
  }
}
