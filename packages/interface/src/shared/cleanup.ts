/** A resource for {@link Cleanup.use}. */
export interface Closable {
  /** Releases the resource. */
  close(): unknown;
}

/** Runs clean-up steps in the reverse order of their registration, each of them even when another fails. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  /** Registers a step; runs after those that are registered later. */
  defer(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** Registers `close()` of a resource and returns the resource. */
  use<T extends Closable>(resource: T): T {
    this.defer(() => resource.close());
    return resource;
  }

  /** Runs the steps, and throws the first failure after all have run. Idempotent. */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
