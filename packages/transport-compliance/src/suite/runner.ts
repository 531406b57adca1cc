/** Registers one test. vitest's, node:test's and Deno's bdd `it` are such functions. */
export interface RegisterTest {
  (name: string, body: () => Promise<void>, timeoutMs?: number): unknown;
  /** Registers a test that is not run, so that it shows up as skipped. */
  readonly skip?: ((name: string, body: () => Promise<void>) => unknown) | undefined;
}

/** The test runner that drives a suite: the module vitest is one, and so are node:test and Deno's bdd. */
export interface Runner {
  /** Groups the tests that `body` declares. */
  describe(name: string, body: () => void): unknown;
  readonly it: RegisterTest;
  /** Where there is one, it ends the members also when tests were filtered out. */
  readonly afterAll?: ((body: () => Promise<void>) => unknown) | undefined;
}

/** A test or a group of tests that a transport does not pass, and why. It is printed. */
export interface Skip {
  /** `group`, or `group > test`. */
  readonly test: string;
  readonly reason: string;
}
