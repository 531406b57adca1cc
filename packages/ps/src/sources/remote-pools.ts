import type { Logger, MemoryRange, P2PEndpoint } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import { type HeldPart, HolderIndex } from './holder-index.ts';
import { isOwnersFault, readFromOwner } from './read-from-owner.ts';
import type { BucketPart } from './stream-chunk.ts';

/** What {@link RemotePools} reads by. */
export interface RemotePoolsOptions {
  readonly endpoint: P2PEndpoint;
  /** Of the world that the buckets were planned for. */
  readonly metas: WorldMetas;
  /** Of further worlds that hold the same bytes. */
  readonly fallbacks: readonly WorldMetas[];
  /** The plan's. */
  readonly alignBytes: number;
  /** Ends all reads. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * The pools of other processes, of which this one reads buckets. Where an owner is gone, or has not got the bytes any
 * more, another holder of the same tensors is read from, if the metas name one; the owner is not asked again.
 */
export class RemotePools {
  readonly #options: RemotePoolsOptions;
  readonly #worlds: readonly HolderIndex[];
  /** `world:rank` of owners that failed. */
  readonly #lost = new Set<string>();

  constructor(options: RemotePoolsOptions) {
    const { metas, fallbacks, alignBytes } = options;
    this.#options = options;
    this.#worlds = [metas, ...fallbacks].map((world) => new HolderIndex(world, metas, alignBytes));
  }

  /**
   * Brings part of a bucket to its place in host or device memory that the transport can write.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT` naming the owner, when no
   * holder of the bytes is left.
   */
  async read(part: BucketPart, place: MemoryRange): Promise<void> {
    await this.#readFrom(0, part, place);
  }

  /** Looks whether every owner of these buckets can be read from, before anything depends on it. @throws As `read` */
  async knock(buckets: readonly Bucket[], place: MemoryRange): Promise<void> {
    const first = new Map<number, Bucket>();
    for (const bucket of buckets) {
      if (bucket.sizeBytes > 0 && !first.has(bucket.ownerRank)) first.set(bucket.ownerRank, bucket);
    }
    const reading = [...first.values()].map((bucket) => this.read({ bucket, fromBytes: 0, toBytes: 1 }, place));
    // Nothing may write to the place any more when this has settled.
    await Promise.allSettled(reading);
    await Promise.all(reading);
  }

  /** @param world Which of the worlds to read from; those after it are its fallbacks. */
  async #readFrom(world: number, part: BucketPart, place: MemoryRange): Promise<void> {
    const pieces = this.#worlds[world]!.partsOf(part);
    const hasFallback = world + 1 < this.#worlds.length;
    const isLost = ({ owner }: HeldPart): boolean => this.#lost.has(`${world}:${owner.rank}`);
    if (hasFallback && pieces.some(isLost)) return await this.#readFrom(world + 1, part, place);
    const reading = pieces.map((piece) => this.#readPiece(piece, place));
    try {
      await Promise.all(reading);
    } catch (error) {
      // Nothing may write to the place any more, whoever uses it next.
      await Promise.allSettled(reading);
      if (this.#options.signal.aborted || !isOwnersFault(error)) throw error;
      this.#lost.add(`${world}:${error.peer}`);
      if (!hasFallback) throw error;
      this.#options.logger.warn(
        { peer: error.peer, bucket: part.bucket.index, err: error },
        'An owner cannot be read from any more: another holder of the same tensors is',
      );
      await this.#readFrom(world + 1, part, place);
    }
  }

  async #readPiece({ owner, copies }: HeldPart, place: MemoryRange): Promise<void> {
    const reads = copies.map(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => ({
      remote: owner.regions[region]!.remote!,
      remoteOffsetBytes: offsetBytes,
      local: { memory: place.memory, offsetBytes: place.offsetBytes + bucketOffsetBytes, sizeBytes },
    }));
    await readFromOwner(owner, reads, this.#options);
  }
}
