import assert from 'node:assert/strict';
import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';

/** The result or the error of a promise. */
export interface Outcome {
  readonly error?: unknown;
}

/** Waits until a promise settles. The caller may inspect the outcome later. */
export async function settle(promise: Promise<unknown>): Promise<Outcome> {
  try {
    await promise;
    return {};
  } catch (error) {
    return { error };
  }
}

/** Requirements for an error. */
export interface Expected {
  /** One of these codes. */
  readonly code?: ErrorCode | readonly ErrorCode[] | undefined;
  /** Class of an error that is misuse. */
  readonly misuse?: 'RangeError' | 'TypeError' | undefined;
  readonly message?: string | undefined;
  readonly lostRank?: number | undefined;
}

/** Asserts that the outcome is an error as expected. */
export function assertError({ error }: Outcome, expected: Expected, what: string): void {
  assert.ok(error instanceof Error, `${what} must reject, but it resolved`);
  if (expected.misuse !== undefined) {
    assert.equal(error.name, expected.misuse, `${what} must reject with a ${expected.misuse}, not with ${error}`);
  }
  if (expected.code !== undefined) {
    const codes = ([] as ErrorCode[]).concat(expected.code);
    const code = CheckpointEngineError.isInstance(error) ? error.code : undefined;
    assert.ok(
      code !== undefined && codes.includes(code),
      `${what} must reject with ${codes.join(' or ')}, not with ${code ?? 'no code'}: ${error}`,
    );
  }
  if (expected.message !== undefined) assert.equal(error.message, expected.message, `Message of ${what}`);
  if (expected.lostRank !== undefined) {
    assert.equal(Reflect.get(error, 'lostRank'), expected.lostRank, `${what} must have the lost rank`);
  }
}

/** Asserts that the promise rejects with an error as expected. */
export async function rejects(promise: Promise<unknown>, expected: Expected, what: string): Promise<void> {
  assertError(await settle(promise), expected, what);
}
