import type { SerializedError } from '@checkpoint-engine/interface';
import type { LocalSocket } from './front/local-socket.ts';

/** Version of the messages below. Both sides must use the same version. */
export const PROTOCOL = 1;

/** Separates the names in the id of a nested scope. */
export const SCOPE_SEPARATOR = '\u001f';

/** The kinds of calls. `barrier` is an all-gather without values. */
export type CallOp = 'set' | 'get' | 'wait' | 'add' | 'barrier' | 'allGather' | 'abort';

/** One call on a scope. Its values travel separately. */
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
  /** For an all-gather: the ranks that contribute values, and those that receive them. All ranks if absent. */
  readonly from?: readonly number[];
  readonly to?: readonly number[];
  readonly error?: SerializedError;
}

/** The part of a call that differs between kinds. */
export type CallBody = Pick<CallMessage, 'op' | 'key' | 'delta' | 'from' | 'to' | 'error'>;

/** The first message of a rank. It is outside the numbering of messages, and repeated until it is answered. */
export interface Hello {
  readonly t: 'hello';
  readonly protocol: number;
  readonly rank: number;
  readonly worldSize: number;
}

/** A message from a rank to the server after its hello. */
export type ClientMessage =
  | { readonly t: 'proof'; readonly mac: Uint8Array }
  | { readonly t: 'pong' }
  | { readonly t: 'open'; readonly scope: string; readonly members: readonly number[] }
  | { readonly t: 'close'; readonly scope: string }
  | { readonly t: 'leave' }
  | { readonly t: 'cancel'; readonly scope: string; readonly id: number }
  | CallMessage;

/** The answer with which the server admits a rank. */
export interface WelcomeMessage {
  readonly t: 'welcome';
  readonly server: string;
  readonly heartbeatMs: number;
  readonly lostAfterMs: number;
  /** Number of the outermost scope. It rises whenever the world is complete again. */
  readonly generation: number;
}

/** A message from the server to a rank. */
export type ServerMessage =
  /** A rank that reaches the local socket says hello there, under another name, instead of answering. */
  | { readonly t: 'challenge'; readonly nonce: Uint8Array; readonly local?: LocalSocket | undefined }
  | WelcomeMessage
  | { readonly t: 'refused'; readonly error: SerializedError }
  /** Another process claims this rank: answer with `pong`. */
  | { readonly t: 'ping' }
  /** Another session has this rank and may be dead. The answer comes when that is known. */
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
  /** The server does not know this rank's session, or no longer knows it. */
  | { readonly t: 'fenced'; readonly server: string }
  | { readonly t: 'bye' };
