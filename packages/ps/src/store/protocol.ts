import type { SerializedError } from '@checkpoint-engine/interface';

/** Version of the messages below. Both sides must speak the same. */
export const PROTOCOL = 1;

/** Separates the names in the id of a nested scope. */
export const SCOPE_SEPARATOR = '\u001f';

/** What a call asks for. `barrier` is an all-gather of nothing. */
export type CallOp = 'set' | 'get' | 'wait' | 'add' | 'barrier' | 'allGather' | 'abort';

/** One call on a scope; values travel beside it. */
export interface CallMessage {
  readonly t: 'call';
  readonly id: number;
  readonly op: CallOp;
  /** Id of the scope: its names joined with {@link SCOPE_SEPARATOR}, `''` for the outermost. */
  readonly scope: string;
  readonly generation: number;
  /** Key of the value or counter, name of the barrier or all-gather. */
  readonly key: string;
  readonly delta?: number;
  /** Of an all-gather: whose values are given, and to whom. All where absent. */
  readonly from?: readonly number[];
  readonly to?: readonly number[];
  readonly error?: SerializedError;
}

/** What a call says, beside what every call says. */
export type CallBody = Pick<CallMessage, 'op' | 'key' | 'delta' | 'from' | 'to' | 'error'>;

/** What a rank says first. It stands outside the numbering of its messages, and is repeated until it is answered. */
export interface Hello {
  readonly t: 'hello';
  readonly protocol: number;
  readonly rank: number;
  readonly worldSize: number;
}

/** What a rank says to the server after its hello. */
export type ClientMessage =
  | { readonly t: 'proof'; readonly mac: Uint8Array }
  | { readonly t: 'pong' }
  | { readonly t: 'open'; readonly scope: string; readonly members: readonly number[] }
  | { readonly t: 'close'; readonly scope: string }
  | { readonly t: 'leave' }
  | { readonly t: 'cancel'; readonly scope: string; readonly id: number }
  | CallMessage;

/** What the server takes a rank in with. */
export interface WelcomeMessage {
  readonly t: 'welcome';
  readonly server: string;
  readonly heartbeatMs: number;
  readonly lostAfterMs: number;
  /** Of the outermost scope; it rises whenever the world is whole again. */
  readonly generation: number;
}

/** What the server says to a rank. */
export type ServerMessage =
  | { readonly t: 'challenge'; readonly nonce: Uint8Array }
  | WelcomeMessage
  | { readonly t: 'refused'; readonly error: SerializedError }
  /** Another process claims this rank: answer with `pong`. */
  | { readonly t: 'ping' }
  /** The rank is held by a session that may be dead; the answer takes as long as finding that out. */
  | { readonly t: 'held'; readonly heartbeatMs: number }
  | { readonly t: 'result'; readonly id: number; readonly value?: number; readonly found?: boolean }
  | { readonly t: 'failure'; readonly id: number; readonly error: SerializedError }
  | {
      readonly t: 'cancelled';
      readonly id: number;
      readonly missing: readonly number[];
      readonly absent: readonly number[];
    }
  | { readonly t: 'failed'; readonly scope: string; readonly generation: number; readonly error: SerializedError }
  | { readonly t: 'renewed'; readonly generation: number }
  /** The server does not, or no longer, know this rank's session. */
  | { readonly t: 'fenced'; readonly server: string }
  | { readonly t: 'bye' };
