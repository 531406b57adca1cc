/** Options that every waiting call of a {@link Store} takes. */
export interface WaitOptions {
  /** @default the store's own default time-out */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Store.allGather}. Equal at all members. */
export interface GatherOptions extends WaitOptions {
  /** Members whose values are given, ascending. @default all */
  readonly from?: readonly number[] | undefined;
  /** Members that are given them, ascending; others get none. @default all */
  readonly to?: readonly number[] | undefined;
}

/**
 * The rendezvous of a world of ranks: small values, counters, barriers, and the news that somebody failed.
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
  /** Fires when this scope failed; the reason is a CheckpointEngineError (`CE_RANK_LOST`, or the error that was passed to abort). */
  readonly signal: AbortSignal;
  /** Puts a value where every member of the scope can get it, and wakes those who wait for it. */
  set(key: string, value: Uint8Array, options?: WaitOptions): Promise<void>;
  /** The value now, or `undefined`. */
  get(key: string, options?: WaitOptions): Promise<Uint8Array | undefined>;
  /** Waits until the key has a value, and gives it. */
  wait(key: string, options?: WaitOptions): Promise<Uint8Array>;
  /** Adds to a counter that starts at 0 and gives the sum. */
  add(key: string, delta: number, options?: WaitOptions): Promise<number>;
  /** Resolves when every member of the scope has called it as often as this one with this name. */
  barrier(name: string, options?: WaitOptions): Promise<void>;
  /**
   * Every member gives a value and gets those of all, in the order of {@link Store.members}: all at once, when the last
   * one has come. `from` and `to` leave out what is not needed: a gather at one member, a broadcast of one.
   */
  allGather(name: string, value: Uint8Array, options?: GatherOptions): Promise<Uint8Array[]>;
  /**
   * A scope of its own in the same world, for one update or one group. Members that use the same name meet.
   *
   * @param members Ranks that take part. @default all members of this scope
   */
  epoch(name: string, members?: readonly number[]): Store;
  /** Fails this scope on every member. The first error wins; later ones are ignored. Resolves when it is sent. */
  abort(error: Error): Promise<void>;
  /** On an epoch: forgets its keys once every member has closed it. On the outermost: leaves the world. Idempotent. */
  close(): Promise<void>;
}
