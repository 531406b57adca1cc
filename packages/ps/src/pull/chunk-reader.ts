import type {
  CheckpointEngineError,
  Copy,
  FileRead,
  HostMemory,
  MemoryRange,
  P2PRead,
  Stream,
} from '@checkpoint-engine/interface';
import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { HostChunk } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import { type DigestBook, DigestTally, type TensorRange } from '../digests/digest-book.ts';
import type { PlacedFile } from '../sources/placed-file.ts';
import { isOwnersFault, readFromOwner } from '../sources/read-from-owner.ts';
import { readUnchanged } from '../sources/read-unchanged.ts';
import type { StreamedFile } from '../sources/streamed-file.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateContext } from '../update/update-context.ts';
import { isHere } from './refusal.ts';

/** One range of a chunk: a tensor of a holder, and the target of its bytes. */
interface Piece {
  readonly holder: RankMetas;
  readonly meta: ParameterMeta;
  readonly tensorOffsetBytes: number;
  readonly to: MemoryRange;
}

/** Reads chunks into this rank's ring, from its own files and memory, or from the memory of peers. */
export class ChunkReader {
  readonly #context: UpdateContext;
  readonly #ring: HostMemory;
  readonly #stream: Stream;
  readonly #signal: AbortSignal;
  readonly #tally: DigestTally | undefined;
  /** `world:rank` of holders that cannot be read any more. */
  readonly #lost = new Set<string>();
  readonly #byName = new Map<WorldMetas, ReadonlyMap<string, readonly [RankMetas, ParameterMeta]>>();

  /**
   * @param digests Digests of this rank's share: bytes from files are compared with the bytes that were read before.
   */
  constructor(
    context: UpdateContext,
    ring: HostMemory,
    stream: Stream,
    signal: AbortSignal,
    digests: DigestBook | undefined,
  ) {
    this.#context = context;
    this.#ring = ring;
    this.#stream = stream;
    this.#signal = signal;
    this.#tally = digests && new DigestTally(digests, context.store.rank);
  }

  /** Resolves when the chunk's bytes are in the ring. @throws `CE_FILE_*`, `CE_PEER_*`, `CE_RANGE_NOT_REGISTERED` */
  async read(chunk: HostChunk): Promise<void> {
    const { metas, holders } = tensorsByName(this.#context.metas);
    const pieces = Array.from(chunk.tensor, (index, at): Piece => {
      const offsetBytes = chunk.place.offsetBytes + chunk.offsetBytes[at]!;
      return {
        holder: holders[index]!,
        meta: metas[index]!,
        tensorOffsetBytes: chunk.tensorOffsetBytes[at]!,
        to: { memory: this.#ring, offsetBytes, sizeBytes: chunk.rangeBytes[at]! },
      };
    });
    if (pieces.length === 0) return;
    if (isHere(pieces[0]!.holder, this.#context)) await this.#readOwn(pieces, chunk.index);
    else await this.#readPeers(0, pieces);
  }

  async #readOwn(pieces: readonly Piece[], index: number): Promise<void> {
    const { held, logger, store } = this.#context;
    const reads: FileRead[] = [];
    const copies: Copy[] = [];
    const files = new Set<StreamedFile>();
    const ranges: TensorRange[] = [];
    const tally = this.#tally;
    const placedFiles = new Set<PlacedFile>();
    for (const { meta, tensorOffsetBytes, to } of pieces) {
      const { file, memory, placed } = held!.regions[meta.region]!;
      if (placed !== undefined) placedFiles.add(placed);
      const offsetBytes = meta.offsetBytes + tensorOffsetBytes;
      const { sizeBytes } = to;
      if (file !== undefined) {
        files.add(file);
        const tensor = tally?.indexOf(meta.name);
        if (tensor !== undefined) {
          ranges.push({ tensor, positionBytes: tensorOffsetBytes, offsetBytes: to.offsetBytes, sizeBytes });
        }
        reads.push({ path: file.path, fileOffsetBytes: offsetBytes, offsetBytes: to.offsetBytes, sizeBytes });
      } else {
        copies.push({ from: { memory: memory!, offsetBytes, sizeBytes }, to });
      }
    }
    const fields = { rank: store.rank, chunk: index };
    const work = [
      ...(copies.length > 0 ? [this.#stream.copy(copies)] : []),
      ...(reads.length > 0
        ? [
            readUnchanged({
              memory: this.#ring,
              reads,
              files,
              signal: this.#signal,
              logger,
              fields,
              digest: tally && { tally, ranges },
            }),
          ]
        : []),
    ];
    // When this has settled, nothing writes to the ring any more.
    await Promise.allSettled(work);
    await Promise.all(work);
    for (const placed of placedFiles) await placed.checkUnchanged();
  }

  /** @param world The world to read from. The worlds after it are its fallbacks. */
  async #readPeers(world: number, pieces: readonly Piece[]): Promise<void> {
    const { metas, fallbacks, logger, p2p } = this.#context;
    const worlds = [metas, ...fallbacks];
    const hasFallback = world + 1 < worlds.length;
    const byHolder = new Map<RankMetas, P2PRead[]>();
    for (const piece of pieces) {
      const [holder, meta] = world === 0 ? [piece.holder, piece.meta] : this.#find(worlds[world]!, piece.meta.name);
      if (hasFallback && this.#lost.has(`${world}:${holder.rank}`)) return await this.#readPeers(world + 1, pieces);
      const reads = byHolder.get(holder) ?? [];
      byHolder.set(holder, reads);
      reads.push({
        remote: holder.regions[meta.region]!.remote!,
        remoteOffsetBytes: meta.offsetBytes + piece.tensorOffsetBytes,
        local: piece.to,
      });
    }
    const options = { endpoint: p2p!.endpoint, signal: this.#signal };
    const reading = [...byHolder].map(([holder, reads]) => readFromOwner(holder, reads, options));
    try {
      await Promise.all(reading);
    } catch (error) {
      await Promise.allSettled(reading);
      if (this.#signal.aborted || !isOwnersFault(error)) throw error;
      const { peer } = error as CheckpointEngineError;
      this.#lost.add(`${world}:${peer}`);
      if (!hasFallback) throw error;
      logger.warn(
        { peer, err: error },
        'An owner cannot be read any more; reading from another holder of the same tensors',
      );
      await this.#readPeers(world + 1, pieces);
    }
  }

  #find(world: WorldMetas, name: string): readonly [RankMetas, ParameterMeta] {
    let byName = this.#byName.get(world);
    if (byName === undefined) {
      byName = new Map(world.flatMap((holder) => holder.tensors.map((meta) => [meta.name, [holder, meta] as const])));
      this.#byName.set(world, byName);
    }
    return byName.get(name)!;
  }
}
