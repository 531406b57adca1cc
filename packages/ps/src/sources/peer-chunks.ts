import type { Copy, MemoryRange } from '@checkpoint-engine/interface';
import type { ChunkReader } from './read-ahead-source.ts';
import type { RemotePools } from './remote-pools.ts';
import type { Chunk } from './stream-chunk.ts';

/** Chunks from pools of other processes. */
export class PeerChunks implements ChunkReader {
  readonly #pools: RemotePools;

  constructor(pools: RemotePools) {
    this.#pools = pools;
  }

  read(chunk: Chunk, place: MemoryRange): Promise<void> {
    return this.#pools.read(chunk, place);
  }

  /** The data has the same layout as in the bucket, including gaps. */
  copies({ fromBytes, toBytes }: Chunk, place: MemoryRange, target: MemoryRange): readonly Copy[] {
    const sizeBytes = toBytes - fromBytes;
    return [{ from: { ...place, sizeBytes }, to: { ...target, sizeBytes } }];
  }
}
