/** Registers one test. The `it` of vitest, node:test and Deno's bdd has this type. */
export interface RegisterTest {
  (name: string, body: () => Promise<void>, timeoutMs?: number): unknown;
  /** Registers a test that does not run, so that the runner lists it as skipped. */
  readonly skip?: ((name: string, body: () => Promise<void>) => unknown) | undefined;
}

/** The test runner that drives a suite: the module vitest, node:test, or Deno's bdd. */
export interface Runner {
  /** Groups the tests that `body` declares. */
  describe(name: string, body: () => void): unknown;
  readonly it: RegisterTest;
  /** If the runner has one, it ends the members even if tests were filtered out. */
  readonly afterAll?: ((body: () => Promise<void>) => unknown) | undefined;
}

/** A test or a group of tests that a transport does not pass, and the reason. The suite prints it. */
export interface Skip {
  /** `group`, or `group > test`. */
  readonly test: string;
  readonly reason: string;
}
