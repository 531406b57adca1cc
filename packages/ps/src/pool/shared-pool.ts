import {
  type AllocateHostOptions,
  CheckpointEngineError,
  type Device,
  type HostMemory,
} from '@checkpoint-engine/interface';

/**
 * Host memory that outlives a checkpoint and is reused for the next one, because pinning many gigabytes takes seconds.
 *
 * It has one user at a time. It grows if a checkpoint needs more, and is freed only by {@link SharedPool.close}.
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

  /** @throws `CE_CHECKPOINT_BUSY` with the checkpoint that uses the pool. */
  async acquire(user: string, sizeBytes: number): Promise<HostMemory> {
    if (this.#user !== undefined) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `The shared pool is used by checkpoint "${this.#user}", so "${user}" cannot use it`,
        `Unregister "${this.#user}" first, or register "${user}" with its own pool`,
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

  /** Releases the pool for its next user. The memory stays, unless it was retired. */
  release(): void {
    this.#user = undefined;
    if (this.#isRetired) this.close();
  }

  /** A worker may still read the memory, so it is not overwritten any more and is freed with its user. */
  retire(): void {
    if (this.#memory === undefined) return;
    this.#isRetired = true;
    if (this.#user === undefined) this.close();
  }

  /** Frees the memory. Idempotent. */
  close(): void {
    this.#isRetired = false;
    this.#user = undefined;
    this.#memory?.close();
    this.#memory = undefined;
  }
}
