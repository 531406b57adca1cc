import type { SerializedError } from '@checkpoint-engine/interface';

/** A request to the {@link StoreHub}; plain data, so that it also travels between processes. Values are base64. */
export type StoreCall =
  /** Enters a scope. The answer is the error once the scope fails, or nothing once it is closed. */
  | { readonly op: 'watch'; readonly scope: string; readonly members: readonly number[] }
  | { readonly op: 'set'; readonly scope: string; readonly key: string; readonly value: string }
  | { readonly op: 'get' | 'wait'; readonly scope: string; readonly key: string }
  | { readonly op: 'add'; readonly scope: string; readonly key: string; readonly delta: number }
  | { readonly op: 'abort'; readonly scope: string; readonly error: SerializedError }
  | { readonly op: 'close'; readonly scope: string };

/** The answer to a call: a value, a counter, the error of a watched scope, or nothing. */
export type StoreAnswer = string | number | SerializedError | undefined;

/** The connection of one member to the hub. */
export interface StoreLink {
  /** Resolves with the answer; a call that waits for others may stay pending until the link is closed. */
  request(call: StoreCall): Promise<StoreAnswer>;
  /** Leaves the world without being counted as lost. */
  close(): Promise<void>;
}
