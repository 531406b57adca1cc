import {
  abortError,
  CheckpointEngineError,
  LONGEST_TIMER_MS,
  type MemoryRange,
  type P2PEndpoint,
  type P2PRead,
  type P2PReadOptions,
  type Registration,
} from '@checkpoint-engine/interface';
import { Links } from './control/links.ts';
import { EngineEnded, EngineRefusal } from './engine/engine-process.ts';
import { Reader } from './engine/reader.ts';
import { closed } from './errors.ts';
import { explainFailure } from './explain-failure.ts';
import { backingOf } from './memory/backing.ts';
import { checkRange } from './memory/range.ts';
import type { RdmaSettings } from './options.ts';
import { Owner } from './owner.ts';
import { prepareReads, type ReadBatch } from './read-batch.ts';
import type { EngineSettings } from './settings.ts';
import { withLease } from './with-lease.ts';

/** Number of reads that the engine's process runs in parallel, see python/engine.py. */
const concurrentReads = 4;

/** This process's end of the transport. */
export class RdmaEndpoint implements P2PEndpoint {
  /** The protocol that Mooncake uses. */
  readonly protocol: 'rdma' | 'tcp' | 'efa';
  /** The RDMA devices that it uses; empty over TCP. */
  readonly devices: readonly string[];
  readonly #settings: RdmaSettings;
  readonly #engineSettings: EngineSettings;
  readonly #reader: Reader;
  readonly #links: Links;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #ended = new AbortController();
  #owner: Promise<Owner> | undefined;
  #closing: Promise<void> | undefined;

  constructor(engineSettings: EngineSettings, settings: RdmaSettings) {
    const { blockBytes, maxInFlight, token, connectTimeoutMs } = settings;
    this.protocol = engineSettings.protocol;
    this.devices = engineSettings.devices;
    this.#settings = settings;
    this.#engineSettings = engineSettings;
    this.#reader = new Reader(engineSettings, { blockBytes, waveBlocks: Math.floor(maxInFlight / concurrentReads) });
    this.#links = new Links(token, connectTimeoutMs);
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_TRANSPORT_FAILED` if the serving engine does not start. */
  async address(): Promise<string> {
    this.#refuseWhenClosed();
    return (await this.#track(this.#serve())).address;
  }

  async register(range: MemoryRange): Promise<Registration> {
    this.#refuseWhenClosed();
    checkRange(range, 'register');
    if (range.sizeBytes === 0) throw new RangeError('A range to register must not be empty');
    const backing = backingOf(range.memory);
    return await this.#track(this.#serve().then((owner) => owner.register(range, backing)));
  }

  async read(peer: string, reads: readonly P2PRead[], options: P2PReadOptions = {}): Promise<void> {
    this.#refuseWhenClosed();
    const batch = prepareReads(peer, reads);
    if (options.signal?.aborted) throw abortError(options.signal, 'read');
    if (batch.sizeBytes === 0) return;
    const timeoutMs = options.timeoutMs ?? this.#settings.readTimeoutMs;
    await this.#track(this.#read(batch, timeoutMs, options.signal));
  }

  /** Waits for readers of this endpoint, at most for `drainTimeoutMs` per registration, then ends all processes. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #read(batch: ReadBatch, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { peer } = batch.job;
    const ending = new AbortController();
    const giveUp = (): void => ending.abort(abortError(signal!, 'read'));
    const end = (): void => ending.abort(this.#ended.signal.reason);
    const late = (): void => ending.abort(tookTooLong(batch, timeoutMs));
    const timer = setTimeout(late, Math.min(timeoutMs, LONGEST_TIMER_MS));
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#ended.signal.addEventListener('abort', end, { once: true });
    try {
      await withLease(this.#links, batch, timeoutMs, ending, () => this.#reader.read(batch.job, ending.signal));
    } catch (error) {
      if (ending.signal.aborted) throw ending.signal.reason;
      if (error instanceof EngineRefusal || error instanceof EngineEnded)
        throw await explainFailure(peer, batch, error);
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      this.#ended.signal.removeEventListener('abort', end);
    }
  }

  async #close(): Promise<void> {
    this.#ended.abort(closed('endpoint'));
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    this.#links.close();
    const owner = await this.#owner?.catch(() => undefined);
    await Promise.all([this.#reader.close(), owner?.close()]);
  }

  /** Starts the service for peers once. After a failure, the next call tries again. */
  #serve(): Promise<Owner> {
    if (this.#owner === undefined) {
      this.#owner = Owner.open(this.#engineSettings, this.#settings);
      this.#owner.catch(() => {
        this.#owner = undefined;
      });
    }
    return this.#owner;
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    const forget = (): void => {
      this.#pending.delete(work);
    };
    work.then(forget, forget);
    return work;
  }

  #refuseWhenClosed(): void {
    if (this.#closing !== undefined) throw closed('endpoint');
  }
}

function tookTooLong({ job: { peer }, sizeBytes }: ReadBatch, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `Reading ${sizeBytes} bytes from ${peer} took longer than ${timeoutMs} ms`,
    'Raise the time-out, or check the network between the two hosts',
    { op: 'read', peer, retryable: true },
  );
}
