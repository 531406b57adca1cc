import type { CallJob, CallName, CallResult, RankDevice, RankEvent } from './messages.ts';

/** How a call is followed and ended. */
export interface CallOptions {
  /** Fails the call on all ranks, with its reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: RankEvent) => void) | undefined;
}

/** Ranks that are ready to work: processes that this one supervises, or this process itself. */
export interface World {
  /** The ranks that this process knows. */
  readonly ranks: readonly number[];
  /** Their devices, in their order. */
  readonly devices: readonly RankDevice[];
  /**
   * Asks all ranks for the same. Gives the replies of those that this process knows, in their order.
   *
   * @throws The first failure of any rank.
   */
  call<Name extends CallName>(name: Name, job: CallJob<Name>, options?: CallOptions): Promise<CallResult<Name>[]>;
  /** Gives everything back. Idempotent. */
  close(): Promise<void>;
}
