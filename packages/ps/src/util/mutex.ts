import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Admits one user at a time and rejects the others. */
export class Mutex {
  #user: string | undefined;

  /** @throws `CE_CHECKPOINT_BUSY` with the current user. */
  async run<T>(user: string, work: () => Promise<T>): Promise<T> {
    if (this.#user !== undefined) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `${this.#user} is still running, so ${user} cannot start`,
        'Wait until it ends, or abort it',
        { retryable: true },
      );
    }
    this.#user = user;
    try {
      return await work();
    } finally {
      this.#user = undefined;
    }
  }
}
