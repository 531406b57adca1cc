// Code that all processes of a test share: calls by name, and faults that hold an update.
import process from 'node:process';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Answers the calls of the test, {id, call, args} with {id, ok | error}, until the test ends.
 *
 * @param onOther Takes messages that are not calls.
 */
export function serveCalls(calls, onOther = () => {}) {
  process.on('message', async (message) => {
    const { id, call, args } = message;
    if (call === undefined) return onOther(message);
    try {
      process.send({ id, ok: (await calls[call](args)) ?? null });
    } catch (failure) {
      process.send({ id, error: toCheckpointEngineError(failure).toJSON() });
    }
  });
  process.on('disconnect', () => process.exit());
  process.send('ready');
}

/** A fault that the test plants with the call `plant`. The calls `plant` and `held` are for `serveCalls`. */
export class Fault {
  #planted;
  #held;
  #onHeld;
  #resume;

  calls = {
    plant: async (planted) => {
      this.#planted = planted ?? undefined;
      this.#resume?.();
      this.#held = new Promise((resolve) => {
        this.#onHeld = resolve;
      });
    },
    /** Resolves when the update is at a fault of the kind `hold`. */
    held: () => this.#held,
  };

  /** Triggers the fault if it is planted for this place, for example `{ bucket: 3 }`. */
  async at(place, { signal } = {}) {
    const fault = this.#planted;
    if (!Object.entries(place).every(([name, value]) => fault?.[name] === value)) return;
    if (fault.kind === 'throw') throw new Error('planted fault: this worker throws');
    if (fault.kind === 'exit') process.kill(process.pid, 'SIGKILL');
    if (fault.kind === 'stop') process.kill(process.pid, 'SIGSTOP');
    if (fault.kind === 'freeze') await new Promise(() => {});
    if (fault.kind === 'hold') await this.#hold(signal);
  }

  /** Waits until the test plants another fault, or the update ends elsewhere. */
  async #hold(signal) {
    this.#onHeld();
    await new Promise((resolve, reject) => {
      this.#resume = resolve;
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }
}
