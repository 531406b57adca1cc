import { Buffer } from 'node:buffer';
import {
  abortError,
  CheckpointEngineError,
  type GatherOptions,
  type SerializedError,
  type Store,
  toCheckpointEngineError,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import type { StoreAnswer, StoreCall, StoreLink } from './store-call.ts';

const defaultTimeoutMs = 30_000;

/** The store that the suites pass to transports: small, for one host, and as strict as the contract. */
export class TestStore implements Store {
  readonly rank: number;
  readonly worldSize: number;
  readonly epochName: string;
  readonly members: readonly number[];
  readonly #link: StoreLink;
  readonly #outermost: boolean;
  readonly #failure = new AbortController();
  readonly #rounds = new Map<string, number>();
  #closed = false;

  /** Creates a scope of the ranks in `members` (all by default), named `epochName`, behind `link`. */
  constructor(link: StoreLink, rank: number, worldSize: number, epochName = '', members?: readonly number[]) {
    this.#link = link;
    this.rank = rank;
    this.worldSize = worldSize;
    this.epochName = epochName;
    this.#outermost = epochName === '';
    this.members = [...(members ?? Array.from({ length: worldSize }, (_, i) => i))].sort((a, b) => a - b);
    link.request({ op: 'watch', scope: epochName, members: this.members }).then(
      (error) => {
        if (error !== undefined) this.#failure.abort(CheckpointEngineError.fromJSON(error as SerializedError));
      },
      () => {}, // The link was closed: calls report that themselves.
    );
  }

  get signal(): AbortSignal {
    return this.#failure.signal;
  }

  /** Sets a value that every member of the scope can read. */
  async set(key: string, value: Uint8Array, options?: WaitOptions): Promise<void> {
    await this.#call({ op: 'set', scope: this.epochName, key, value: toBase64(value) }, options);
  }

  async get(key: string, options?: WaitOptions): Promise<Uint8Array | undefined> {
    const value = await this.#call({ op: 'get', scope: this.epochName, key }, options);
    return value === undefined ? undefined : fromBase64(value as string);
  }

  async wait(key: string, options?: WaitOptions): Promise<Uint8Array> {
    return fromBase64((await this.#call({ op: 'wait', scope: this.epochName, key }, options)) as string);
  }

  async add(key: string, delta: number, options?: WaitOptions): Promise<number> {
    return (await this.#call({ op: 'add', scope: this.epochName, key, delta }, options)) as number;
  }

  async barrier(name: string, options?: WaitOptions): Promise<void> {
    await this.allGather(`barrier/${name}`, new Uint8Array(), options);
  }

  async allGather(name: string, value: Uint8Array, options: GatherOptions = {}): Promise<Uint8Array[]> {
    const { from = this.members, to = this.members } = options;
    const round = this.#rounds.get(name) ?? 0;
    this.#rounds.set(name, round + 1);
    const key = (rank: number) => `gather/${name}/${round}/${rank}`;
    await this.set(key(this.rank), value, options);
    const values = await Promise.all(this.members.map((member) => this.wait(key(member), options)));
    return to.includes(this.rank) ? values.filter((_, index) => from.includes(this.members[index]!)) : [];
  }

  epoch(name: string, members?: readonly number[]): Store {
    const epochName = `${this.epochName}/${name}`;
    return new TestStore(this.#link, this.rank, this.worldSize, epochName, members ?? this.members);
  }

  async abort(error: Error): Promise<void> {
    await this.#link.request({ op: 'abort', scope: this.epochName, error: toCheckpointEngineError(error).toJSON() });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#link.request({ op: 'close', scope: this.epochName });
    if (this.#outermost) await this.#link.close();
  }

  /** Sends one request. It ends early if the scope fails, the caller's signal fires or the time-out passes. */
  async #call(call: StoreCall, { timeoutMs = defaultTimeoutMs, signal }: WaitOptions = {}): Promise<StoreAnswer> {
    const op = `store ${call.op}`;
    if (this.#closed) throw new CheckpointEngineError('CE_CLOSED', `The store is closed: ${op}`, 'Open a new scope');
    const timeout = new AbortController();
    const timer = setTimeout(
      () => timeout.abort(new DOMException(`${timeoutMs} ms passed`, 'TimeoutError')),
      timeoutMs,
    );
    const signals = [this.signal, timeout.signal, ...(signal ? [signal] : [])];
    let giveUp = (): void => {};
    try {
      return await new Promise<StoreAnswer>((resolve, reject) => {
        giveUp = () => reject(abortError(signals.find((one) => one.aborted) as AbortSignal, op));
        for (const one of signals) one.addEventListener('abort', giveUp);
        if (signals.some((one) => one.aborted)) giveUp();
        else this.#link.request(call).then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      for (const one of signals) one.removeEventListener('abort', giveUp);
    }
  }
}

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
