/** Options that every waiting call of a {@link Store} takes. */
export interface WaitOptions {
  /** @default the store's own default time-out */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Store.allGather}. All members must pass equal options. */
export interface GatherOptions extends WaitOptions {
  /** Members that contribute values, ascending. @default all */
  readonly from?: readonly number[] | undefined;
  /** Members that receive the values, ascending; others receive none. @default all */
  readonly to?: readonly number[] | undefined;
}

/**
 * The rendezvous of a world of ranks: small values, counters, barriers, and reports of failed ranks.
 *
 * Every call is scoped to the store's epoch. A new update uses a new epoch, so it can never meet keys or barriers of an
 * older one. When a rank is lost, or any member calls {@link Store.abort}, every pending and later call of that epoch
 * rejects on every member, and {@link Store.signal} fires with the error as its reason.
 */
export interface Store {
  readonly rank: number;
  readonly worldSize: number;
  /** Name of this scope, `''` for the outermost. */
  readonly epochName: string;
  /** Ranks that are members of this scope, ascending. */
  readonly members: readonly number[];
  /**
   * Fires when this scope fails; the reason is a CheckpointEngineError (`CE_RANK_LOST`, or the error passed to
   * `abort`).
   */
  readonly signal: AbortSignal;
  /** Sets a value that every member of the scope can read, and wakes the members that wait for it. */
  set(key: string, value: Uint8Array, options?: WaitOptions): Promise<void>;
  /** Returns the current value, or `undefined`. */
  get(key: string, options?: WaitOptions): Promise<Uint8Array | undefined>;
  /** Waits until the key has a value, and returns it. */
  wait(key: string, options?: WaitOptions): Promise<Uint8Array>;
  /** Adds to a counter that starts at 0, and returns the sum. */
  add(key: string, delta: number, options?: WaitOptions): Promise<number>;
  /** Resolves when every member of the scope has called it with this name as often as this member. */
  barrier(name: string, options?: WaitOptions): Promise<void>;
  /**
   * Every member contributes a value and receives those of all members, in the order of {@link Store.members}. The
   * calls resolve together when the last member has called. With `from` and `to` only some members contribute or
   * receive: a gather at one member, a broadcast of one.
   */
  allGather(name: string, value: Uint8Array, options?: GatherOptions): Promise<Uint8Array[]>;
  /**
   * Creates a separate scope in the same world, for one update or one group. Members that use the same name share it.
   *
   * @param members Ranks that take part.
   * @default all members of this scope
   */
  epoch(name: string, members?: readonly number[]): Store;
  /**
   * Fails this scope on every member. The first error wins; later ones are ignored. Resolves when the error is sent.
   */
  abort(error: Error): Promise<void>;
  /**
   * On an epoch: deletes its keys once every member has closed it. On the outermost scope: leaves the world.
   * Idempotent.
   */
  close(): Promise<void>;
}
