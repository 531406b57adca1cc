import {
  type BroadcastGroup,
  type BroadcastTransport,
  CheckpointEngineError,
  type Device,
  type Store,
} from '@checkpoint-engine/interface';

/** The parts from which {@link BroadcastLink} creates groups. */
export interface LinkParts {
  readonly transport: BroadcastTransport | undefined;
  readonly device: Device;
  /** The outermost scope of the world. */
  readonly store: Store;
}

/**
 * The broadcast group of some ranks. It survives updates, because its creation can take seconds; a failure ends it.
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

  /** Number of the group that is usable here; 0 if there is none. */
  get generation(): number {
    return this.#group === undefined ? 0 : this.#generation;
  }

  /** The members share one ring, which holds each bucket once. */
  get sharesRing(): boolean {
    return this.#parts.transport?.supports.sharedTarget ?? false;
  }

  /** Maximum number of pending broadcasts. */
  get maxPending(): number {
    return this.#parts.transport?.supports.maxPending ?? 1;
  }

  /** Returns the group with this number, and creates it if this rank has another one or none. All members call it. */
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

  /** Ends the group on all members: pending calls reject with the reason, and the next update creates a new group. */
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
    `${size} ranks need a broadcast transport, but the server has none`,
    'Pass `broadcast`: nccl() for GPUs, shm() for the host device',
  );
}
