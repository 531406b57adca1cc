import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';

/**
 * The version of the weights that one device's model holds: that of the last update which the workers of all ranks have
 * finished. Keep one for each device, and pass it to every `receiveUpdate`; `serveWorker` does so.
 */
export class HeldVersion {
  #version: string = UNKNOWN_VERSION;

  /** `unknown` at the start, while an update writes, and after one that failed. */
  get version(): string {
    return this.#version;
  }

  /** Call it before any code writes to the model. */
  forget(): void {
    this.#version = UNKNOWN_VERSION;
  }

  /** @internal Call it when the workers of all ranks have finished. */
  confirm(version: string): void {
    this.#version = version;
  }
}
