import type { Frame } from '../wire/frame-codec.ts';
import type { WireError } from '../wire/wire-error.ts';

/** Root to all: the bytes of call `call` are ready to be copied. */
export interface AnnounceFrame extends Frame {
  readonly type: 'announce';
  /** Index of the call in the group's order of broadcasts, from 0. */
  readonly call: number;
  readonly handle: Uint8Array;
  readonly memoryBytes: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Receiver to root: the receiver has its copy. */
export interface AckFrame extends Frame {
  readonly type: 'ack';
  readonly call: number;
}

/** Receiver to root, after a while: describes the call that the receiver waits for; the root verifies it. */
export interface ExpectFrame extends Frame {
  readonly type: 'expect';
  readonly call: number;
  readonly sizeBytes: number;
}

/** Receiver to root: the root may write this shared range. */
export interface ReadyFrame extends Frame {
  readonly type: 'ready';
  readonly call: number;
  readonly handle: Uint8Array;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Root to all: the shared range holds the bytes. */
export interface FilledFrame extends Frame {
  readonly type: 'filled';
  readonly call: number;
}

/** Root to all, after a while: the sender believes that it is the root of this call; receivers verify it. */
export interface RootFrame extends Frame {
  readonly type: 'root';
  readonly call: number;
}

/** To all: the group has failed. */
export interface AbortFrame extends Frame {
  readonly type: 'abort';
  readonly error: WireError;
}

/** To all, last: this member leaves after this many calls. */
export interface ByeFrame extends Frame {
  readonly type: 'bye';
  readonly calls: number;
}

/** Frames that belong to one broadcast. */
export type CallFrame = AnnounceFrame | AckFrame | ExpectFrame | ReadyFrame | FilledFrame | RootFrame;
/** All frames of a group. */
export type GroupFrame = CallFrame | AbortFrame | ByeFrame;
