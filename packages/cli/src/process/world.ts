import type { CallName, CallRequest, CallResult, RankDevice, RankEvent } from './messages.ts';

/** Options to follow and abort a call. */
export interface CallOptions {
  /** Aborts the call on all ranks, with its reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: RankEvent) => void) | undefined;
}

/** Ranks that are ready to work: child processes of this one, or this process itself. */
export interface World {
  /** The ranks that this process runs or supervises. */
  readonly ranks: readonly number[];
  /** The devices of these ranks, in the same order. */
  readonly devices: readonly RankDevice[];
  /**
   * Makes the same call to all ranks. Returns the replies of {@link World.ranks}, in the same order.
   *
   * @throws The first failure of any rank.
   */
  call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    options?: CallOptions,
  ): Promise<CallResult<Name>[]>;
  /** Releases everything. Idempotent. */
  close(): Promise<void>;
}
