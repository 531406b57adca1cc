/** Runs what gives things back, last thing first. */
export class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];

  /** Adds a step and gives `resource` back. */
  use<T>(resource: T, release: (resource: T) => Promise<unknown>): T {
    this.#steps.push(() => release(resource));
    return resource;
  }

  /** Runs the steps that have not run. A step that fails does not keep the others from running. Idempotent. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      await step().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}
