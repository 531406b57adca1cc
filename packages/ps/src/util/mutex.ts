import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Lets one user in at a time and turns the others away. */
export class Mutex {
  #user: string | undefined;

  /** @throws `CE_CHECKPOINT_BUSY` naming what runs. */
  async run<T>(user: string, work: () => Promise<T>): Promise<T> {
    if (this.#user !== undefined) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `${this.#user} is still running, so ${user} cannot start`,
        'Wait for it to end, or abort it',
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
