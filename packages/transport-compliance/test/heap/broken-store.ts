import { Buffer } from 'node:buffer';
import { CheckpointEngineError, type GatherOptions, type Store, type WaitOptions } from '@checkpoint-engine/interface';

/** One fault that a store may have. */
export type StoreMutation =
  | 'drops-large-values'
  | 'keeps-first-value'
  | 'wait-ignores-timeout'
  | 'ignores-signal'
  | 'adds-locally'
  | 'barrier-passes'
  | 'gathers-reversed'
  | 'gathers-for-all'
  | 'epochs-share-keys'
  | 'members-unsorted'
  | 'abort-stays-local'
  | 'abort-changes-reason'
  | 'abort-reaches-parent'
  | 'hides-lost-rank'
  | 'works-after-close';

/** A store that works except for one fault. */
export class BrokenStore implements Store {
  readonly #store: Store;
  readonly #mutation: StoreMutation;
  readonly #parent: BrokenStore | undefined;
  readonly #counters = new Map<string, number>();
  readonly #failure = new AbortController();
  #isClosed = false;

  constructor(store: Store, mutation: StoreMutation, parent?: BrokenStore) {
    this.#store = store;
    this.#mutation = mutation;
    this.#parent = parent;
  }

  get rank(): number {
    return this.#store.rank;
  }
  get worldSize(): number {
    return this.#store.worldSize;
  }
  get epochName(): string {
    return this.#store.epochName;
  }
  get members(): readonly number[] {
    return this.#mutation === 'members-unsorted' ? [...this.#store.members].reverse() : this.#store.members;
  }
  get signal(): AbortSignal {
    return this.#mutation === 'abort-stays-local' || this.#mutation === 'hides-lost-rank'
      ? this.#failure.signal
      : this.#store.signal;
  }

  async set(key: string, value: Uint8Array, options?: WaitOptions): Promise<void> {
    if (this.#mutation === 'keeps-first-value' && (await this.#keys.get(key)) !== undefined) return;
    const isDropped = this.#mutation === 'drops-large-values' && value.length > 100_000;
    await this.#run(() => this.#keys.set(key, isDropped ? new Uint8Array() : value, this.#patched(options)));
  }

  async get(key: string, options?: WaitOptions): Promise<Uint8Array | undefined> {
    return await this.#run(() => this.#keys.get(key, this.#patched(options)));
  }

  async wait(key: string, options?: WaitOptions): Promise<Uint8Array> {
    const patched = this.#mutation === 'wait-ignores-timeout' ? { ...options, timeoutMs: 60_000 } : options;
    return await this.#run(() => this.#keys.wait(key, this.#patched(patched)));
  }

  async add(key: string, delta: number, options?: WaitOptions): Promise<number> {
    if (this.#mutation !== 'adds-locally') return await this.#store.add(key, delta, options);
    const sum = (this.#counters.get(key) ?? 0) + delta;
    this.#counters.set(key, sum);
    return sum;
  }

  async barrier(name: string, options?: WaitOptions): Promise<void> {
    if (this.#mutation === 'barrier-passes') return;
    await this.#run(() => this.#store.barrier(name, this.#patched(options)));
  }

  async allGather(name: string, value: Uint8Array, options: GatherOptions = {}): Promise<Uint8Array[]> {
    const { from, to, ...wait } = options;
    const values = await this.#store.allGather(name, value, this.#mutation === 'gathers-for-all' ? wait : options);
    return this.#mutation === 'gathers-reversed' ? values.reverse() : values;
  }

  epoch(name: string, members?: readonly number[]): Store {
    return new BrokenStore(this.#store.epoch(name, members), this.#mutation, this);
  }

  async abort(error: Error): Promise<void> {
    if (this.#mutation === 'abort-stays-local') return this.#failure.abort(error);
    const reason = new CheckpointEngineError('CE_ABORTED', 'Aborted', 'Look at the log');
    await this.#store.abort(this.#mutation === 'abort-changes-reason' ? reason : error);
    if (this.#mutation === 'abort-reaches-parent') await this.#parent?.abort(error);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#mutation !== 'works-after-close') await this.#store.close();
  }

  /** Storage of the keys. */
  get #keys(): Store {
    return this.#mutation === 'epochs-share-keys' && this.#parent ? this.#parent.#keys : this.#store;
  }

  #patched(options: WaitOptions = {}): WaitOptions {
    return this.#mutation === 'ignores-signal' ? { timeoutMs: options.timeoutMs } : options;
  }

  async #run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#mutation === 'abort-stays-local' && this.#failure.signal.aborted) throw this.#failure.signal.reason;
    if (this.#isClosed && this.#mutation === 'works-after-close') return Buffer.alloc(0) as T;
    return await call();
  }
}
