import type { HostMemory, Store } from '@checkpoint-engine/interface';
import { nowMs, untilAborted } from '@checkpoint-engine/interface/shared';
import type { HostChunk } from '@checkpoint-engine/planner';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { Deferred } from '../util/deferred.ts';
import { arrivedRanges } from '../verify/arrived-ranges.ts';
import { ChunkReader } from './chunk-reader.ts';

/** Maximum number of concurrent reads. */
const PENDING_READS = 4;

/** The resources of {@link readChunks}. */
export interface ChunkReading {
  readonly run: UpdateRun;
  /** The ranks of the host. */
  readonly scope: Store;
  /** All chunks of the host, in order. */
  readonly chunks: readonly HostChunk[];
  /** This rank's ring; its chunks use it in turn. */
  readonly ring: HostMemory;
}

/** Notifies the ranks of a host that a chunk is in its ring, and its reader that no worker reads it any more. */
export class ChunkNews {
  readonly #run: UpdateRun;
  readonly #scope: Store;
  readonly #own = new Map<string, Deferred>();

  constructor(run: UpdateRun, scope: Store) {
    this.#run = run;
    this.#scope = scope;
  }

  /** Resolves when the chunk is in its reader's ring. */
  async untilRead({ index, readerRank }: HostChunk): Promise<void> {
    if (readerRank === this.#scope.rank) await this.#deferred(`read ${index}`).promise;
    else await this.#scope.wait(`read ${index}`, this.#run.waiting);
  }

  /** Announces a chunk. */
  async announceRead({ index, receivers }: HostChunk): Promise<void> {
    this.#deferred(`read ${index}`).follow();
    if (receivers.some((rank) => rank !== this.#scope.rank)) {
      await this.#scope.set(`read ${index}`, NOTHING, this.#run.waiting);
    }
  }

  /** Resolves when no worker reads the chunk any more. */
  async untilPulled({ index, receivers }: HostChunk): Promise<void> {
    for (const rank of receivers) {
      if (rank === this.#scope.rank) await this.#deferred(`pulled ${index}`).promise;
      else await this.#scope.wait(`pulled ${index} ${rank}`, this.#run.waiting);
    }
  }

  /** Reports that this rank's worker has copied a chunk. */
  async announcePulled({ index, readerRank }: HostChunk): Promise<void> {
    const { rank } = this.#scope;
    if (readerRank === rank) this.#deferred(`pulled ${index}`).follow();
    else await this.#scope.set(`pulled ${index} ${rank}`, NOTHING, this.#run.waiting);
  }

  #deferred(name: string): Deferred {
    let deferred = this.#own.get(name);
    if (deferred === undefined) {
      deferred = new Deferred();
      this.#own.set(name, deferred);
    }
    return deferred;
  }
}

const NOTHING = new Uint8Array(0);

/** Reads this rank's chunks into its ring as space becomes free. When it has settled, nothing writes to the ring. */
export async function readChunks({ run, scope, chunks, ring }: ChunkReading, news: ChunkNews): Promise<void> {
  const { context, cleanup, life, emit } = run;
  const { rank } = scope;
  const { metas } = tensorsByName(context.metas);
  const own = chunks.filter(({ readerRank }) => readerRank === rank);
  // A chunk from memory of this rank that is still being filled is copied when that memory is complete.
  await untilAborted(context.held?.fill?.loaded() ?? Promise.resolve(), life.signal);
  const stream = cleanup.use(context.device.createStream('pull'));
  const digests = run.verifier.digestsReads ? context.held?.digests : undefined;
  const reader = new ChunkReader(context, ring, stream, life.signal, digests);
  const running: Promise<void>[] = [];
  const read = async (chunk: HostChunk): Promise<void> => {
    const event = { rank, stage: 'read', bucket: chunk.index, sizeBytes: chunk.sizeBytes } as const;
    emit({ type: 'bucket-start', ...event, atMs: nowMs() });
    await reader.read(chunk);
    await run.verifier.checkArrival({ memory: ring }, arrivedRanges(chunk, metas, chunk.place.offsetBytes));
    emit({ type: 'bucket-end', ...event, atMs: nowMs() });
    await news.announceRead(chunk);
  };
  let free = 0;
  try {
    for (const [turn, chunk] of own.entries()) {
      while (free <= chunk.place.after) await untilAborted(news.untilPulled(own[free++]!), life.signal);
      if (turn >= PENDING_READS) await running[turn - PENDING_READS];
      life.signal.throwIfAborted();
      const reading = read(chunk);
      reading.catch(life.fail);
      running.push(reading);
    }
    await Promise.all(running);
  } finally {
    await Promise.allSettled(running);
  }
}
