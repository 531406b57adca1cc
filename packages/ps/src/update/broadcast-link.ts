import {
  type BroadcastGroup,
  type BroadcastTransport,
  CheckpointEngineError,
  type Device,
  type Store,
} from '@checkpoint-engine/interface';
import type { Agreement } from './agreement.ts';

/** The broadcast group of a server. It lives on between updates, since making one can take seconds; a failure ends it. */
export class BroadcastLink {
  readonly #transport: BroadcastTransport | undefined;
  readonly #device: Device;
  readonly #store: Store;
  #group: BroadcastGroup | undefined;
  #scope: Store | undefined;
  #generation = 0;
  /** The order of stages that was found faster with this group. */
  measuredStages: 2 | 3 | null = null;

  constructor(transport: BroadcastTransport | undefined, device: Device, store: Store) {
    this.#transport = transport;
    this.#device = device;
    this.#store = store;
  }

  get generation(): number {
    return this.#generation;
  }

  get isUsable(): boolean {
    return this.#group !== undefined;
  }

  /** Broadcasts that may be pending at a time. */
  get maxPending(): number {
    return this.#transport?.supports.maxPending ?? 1;
  }

  /** Gives the group that the members agreed on; makes it where they agreed on a new one. */
  async group(agreement: Agreement, options: { timeoutMs: number; signal: AbortSignal }): Promise<BroadcastGroup> {
    if (agreement.keepsGroup && this.#group !== undefined) return this.#group;
    await this.drop();
    if (this.#transport === undefined) {
      throw new CheckpointEngineError(
        'CE_CONFIG_INVALID',
        `A world of ${agreement.members.length} ranks needs a broadcast transport, and the server was given none`,
        'Pass `broadcast`: nccl() for GPUs, shm() for the host device',
      );
    }
    this.#generation = agreement.groupGeneration;
    this.#scope = this.#store.epoch(`broadcast:${this.#generation}`, agreement.members);
    try {
      this.#group = await this.#transport.join({ store: this.#scope, device: this.#device, ...options });
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
    this.measuredStages = null;
    await group?.close();
    await scope?.close();
  }
}
