import {
  type AllocateHostOptions,
  CheckpointEngineError,
  type Device,
  type HostMemory,
} from '@checkpoint-engine/interface';

/**
 * Host memory that outlives a checkpoint and is used again by the next one: pinning many gigabytes takes seconds.
 *
 * It has one user at a time. It grows when a checkpoint needs more, and is given back only by {@link SharedPool.close}.
 */
export class SharedPool {
  readonly #device: Device;
  readonly #options: AllocateHostOptions;
  #memory: HostMemory | undefined;
  #user: string | undefined;
  #isRetired = false;

  constructor(device: Device, options: AllocateHostOptions) {
    this.#device = device;
    this.#options = options;
  }

  /** The checkpoint that uses the pool now. */
  get user(): string | undefined {
    return this.#user;
  }

  /** @throws `CE_CHECKPOINT_BUSY` naming the checkpoint that uses it. */
  async acquire(user: string, sizeBytes: number): Promise<HostMemory> {
    if (this.#user !== undefined) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `The shared pool is used by checkpoint "${this.#user}", so "${user}" cannot have it`,
        `Unregister "${this.#user}" first, or register "${user}" with a pool of its own`,
      );
    }
    this.#user = user;
    try {
      if (this.#memory === undefined || this.#memory.sizeBytes < sizeBytes) {
        this.#memory?.close();
        this.#memory = undefined;
        this.#memory = await this.#device.allocateHost(sizeBytes, this.#options);
      }
      return this.#memory;
    } catch (error) {
      this.#user = undefined;
      throw error;
    }
  }

  /** Frees the pool for its next user; the memory stays, unless it was retired. */
  release(): void {
    this.#user = undefined;
    if (this.#isRetired) this.close();
  }

  /** Some worker may go on reading the memory: it is not overwritten any more, and goes with its user. */
  retire(): void {
    if (this.#memory === undefined) return;
    this.#isRetired = true;
    if (this.#user === undefined) this.close();
  }

  /** Gives the memory back. Idempotent. */
  close(): void {
    this.#isRetired = false;
    this.#user = undefined;
    this.#memory?.close();
    this.#memory = undefined;
  }
}
