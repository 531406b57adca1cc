import type { Store } from '@checkpoint-engine/interface';

/** The bytes of a text. */
export const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The text of some bytes; `undefined` for none. */
export const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value);

/** Returns the reason why a test cannot run in a smaller world, if that is so. */
export const needsRanks = (maxRanks: number, count: number): string | undefined =>
  maxRanks < count ? `it needs ${count} ranks` : undefined;

/** Resolves with the reason when a scope fails. */
export const failureOf = ({ signal }: Store): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
