import {
  type BroadcastGroup,
  type BroadcastTransport,
  CheckpointEngineError,
  type Device,
  type Store,
} from '@checkpoint-engine/interface';

/** What {@link BroadcastLink} makes its groups with. */
export interface LinkParts {
  readonly transport: BroadcastTransport | undefined;
  readonly device: Device;
  /** The outermost scope of the world. */
  readonly store: Store;
}

/**
 * The broadcast group of some ranks. It lives on between updates, since making one can take seconds; a failure ends it.
 */
export class BroadcastLink {
  readonly members: readonly number[];
  readonly #parts: LinkParts;
  #group: BroadcastGroup | undefined;
  #scope: Store | undefined;
  #generation = 0;

  constructor(members: readonly number[], parts: LinkParts) {
    this.members = members;
    this.#parts = parts;
  }

  /** Number of the group that is usable here; 0 where there is none. */
  get generation(): number {
    return this.#group === undefined ? 0 : this.#generation;
  }

  /** The members have one ring between them, and each bucket lies in it once. */
  get sharesRing(): boolean {
    return this.#parts.transport?.supports.sharedTarget ?? false;
  }

  /** Broadcasts that may be pending at a time. */
  get maxPending(): number {
    return this.#parts.transport?.supports.maxPending ?? 1;
  }

  /** Gives the group of that number; makes it where there is another one or none. All members call it. */
  async group(generation: number, options: { timeoutMs: number; signal: AbortSignal }): Promise<BroadcastGroup> {
    if (this.#group !== undefined && this.#generation === generation) return this.#group;
    await this.drop();
    const { transport, device, store } = this.#parts;
    if (transport === undefined) throw noTransport(this.members.length);
    this.#generation = generation;
    this.#scope = store.epoch(`broadcast:${generation}`, this.members);
    try {
      this.#group = await transport.join({ store: this.#scope, device, ...options });
    } catch (error) {
      await this.#scope.abort(error as Error).catch(() => {});
      await this.drop();
      throw error;
    }
    return this.#group;
  }

  /** Ends the group on all members: what is pending rejects with the reason, and the next update makes a new one. */
  abort(reason: Error): void {
    this.#group?.abort(reason);
  }

  /** Leaves the group and forgets it. */
  async drop(): Promise<void> {
    const group = this.#group;
    const scope = this.#scope;
    this.#group = undefined;
    this.#scope = undefined;
    await group?.close();
    await scope?.close();
  }
}

function noTransport(size: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `${size} ranks need a broadcast transport, and the server was given none`,
    'Pass `broadcast`: nccl() for GPUs, shm() for the host device',
  );
}
