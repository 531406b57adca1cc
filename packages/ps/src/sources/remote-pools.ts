import type { Logger, MemoryRange, P2PEndpoint } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import { type HeldPart, HolderIndex } from './holder-index.ts';
import { isOwnersFault, readFromOwner } from './read-from-owner.ts';
import type { BucketPart } from './stream-chunk.ts';

/** The options of {@link RemotePools}. */
export interface RemotePoolsOptions {
  readonly endpoint: P2PEndpoint;
  /** The metas of the world for which the buckets were planned. */
  readonly metas: WorldMetas;
  /** The metas of further worlds that hold the same bytes. */
  readonly fallbacks: readonly WorldMetas[];
  /** The bucket size of the plan. */
  readonly alignBytes: number;
  /** Aborts all reads. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Reads buckets from the pools of other processes. If an owner has ended, or no longer has the bytes, it reads from
 * another holder of the same tensors, if the metas list one, and does not use the owner again.
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
   * Reads part of a bucket to its place in host or device memory that the transport can write.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT` with the owner, if no
   * holder of the bytes is left.
   */
  async read(part: BucketPart, place: MemoryRange): Promise<void> {
    await this.#readFrom(0, part, place);
  }

  /**
   * Checks that every owner of these buckets can be read, before anything depends on it. @throws The errors of `read`
   */
  async probeOwners(buckets: readonly Bucket[], place: MemoryRange): Promise<void> {
    const first = new Map<number, Bucket>();
    for (const bucket of buckets) {
      if (bucket.sizeBytes > 0 && !first.has(bucket.ownerRank)) first.set(bucket.ownerRank, bucket);
    }
    const reading = [...first.values()].map((bucket) => this.read({ bucket, fromBytes: 0, toBytes: 1 }, place));
    // When this has settled, nothing writes to the place any more.
    await Promise.allSettled(reading);
    await Promise.all(reading);
  }

  /** @param world The world to read from. The worlds after it are its fallbacks. */
  async #readFrom(world: number, part: BucketPart, place: MemoryRange): Promise<void> {
    const pieces = this.#worlds[world]!.partsOf(part);
    const hasFallback = world + 1 < this.#worlds.length;
    const isLost = ({ owner }: HeldPart): boolean => this.#lost.has(`${world}:${owner.rank}`);
    if (hasFallback && pieces.some(isLost)) return await this.#readFrom(world + 1, part, place);
    const reading = pieces.map((piece) => this.#readPiece(piece, place));
    try {
      await Promise.all(reading);
    } catch (error) {
      // No read may write to the place any longer, because others may use it next.
      await Promise.allSettled(reading);
      if (this.#options.signal.aborted || !isOwnersFault(error)) throw error;
      this.#lost.add(`${world}:${error.peer}`);
      if (!hasFallback) throw error;
      this.#options.logger.warn(
        { peer: error.peer, bucket: part.bucket.index, err: error },
        'An owner cannot be read any more; reading from another holder of the same tensors',
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
