import { CheckpointEngineError, type Device, isSharedMemory, type SharedMemory } from '@checkpoint-engine/interface';

interface Kept {
  readonly memory: SharedMemory;
  /** Whether this rank allocated the memory, and did not open it from another rank. */
  readonly isOwn: boolean;
  /** The kind of update that it is for. */
  readonly kind: string;
}

/**
 * Provides the memory that workers read during updates, the ring. On the host, the ring of a successful update is kept
 * for the next similar update, because clearing and mapping new pages takes time at every rank. On a GPU it is never
 * kept: between updates the memory belongs to the inference engine.
 */
export class RingKeeper {
  /** Whether rings are kept at all. */
  readonly keeps: boolean;
  readonly #device: Device;
  #kind = '';
  #kept: Kept | undefined;

  constructor(device: Device) {
    this.#device = device;
    this.keeps = device.supports.hostAddressable;
  }

  /** Memory that the next update can use in addition to what the device reports as free. */
  get keptBytes(): number {
    return this.#kept?.memory.sizeBytes ?? 0;
  }

  /** Begins an update: frees the ring of another kind of update before any rank allocates memory. */
  begin(kind: string): void {
    this.#kind = kind;
    if (this.#kept?.kind !== kind) this.close();
  }

  /** Allocates a ring that other processes can open. */
  async take(sizeBytes: number): Promise<SharedMemory> {
    const kept = this.#takeKept(({ memory, isOwn }) => isOwn && memory.sizeBytes === sizeBytes);
    return kept ?? (await this.#device.allocateShared(sizeBytes));
  }

  /**
   * Opens the ring that another rank of this host allocated for all. @throws `CE_NOT_SUPPORTED` The other rank shares
   * no ring.
   */
  async open(handle: Uint8Array | undefined, sizeBytes: number): Promise<SharedMemory> {
    if (handle === undefined) throw cannotShare('The first rank shares no ring');
    const kept = this.#takeKept(({ memory, isOwn }) => !isOwn && isSame(memory.handle, handle));
    if (kept !== undefined) return kept;
    const memory = await this.#device.openShared(handle, sizeBytes);
    if (isSharedMemory(memory)) return memory;
    memory.close();
    throw cannotShare(`A ${this.#device.kind} device cannot pass shared memory on`);
  }

  /**
   * Ends the use of a ring.
   *
   * @param isSound The update succeeded: no worker and no rank uses the ring any more.
   */
  release(memory: SharedMemory, { isOwn, isSound }: { isOwn: boolean; isSound: boolean }): void {
    if (!this.keeps || !isSound) {
      memory.close();
      return;
    }
    this.close();
    this.#kept = { memory, isOwn, kind: this.#kind };
  }

  /** Frees the kept ring. Idempotent. */
  close(): void {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept === undefined) return;
    // Workers may keep it mapped for a while.
    if (kept.isOwn && kept.memory.discard) kept.memory.discard();
    else kept.memory.close();
  }

  #takeKept(fits: (kept: Kept) => boolean): SharedMemory | undefined {
    const kept = this.#kept;
    if (kept === undefined || !fits(kept)) {
      this.close();
      return undefined;
    }
    this.#kept = undefined;
    return kept.memory;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function cannotShare(message: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    message,
    'Use the same release on all ranks, and a transport whose supports.sharedTarget matches the device',
  );
}
