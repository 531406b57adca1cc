import type { DeviceKind } from './device.ts';
import type { SerializedError } from './errors.ts';
import type { PullOffer, ServerPullMessage, WorkerPullMessage } from './worker-pull.ts';

/**
 * Worker protocol 2: what the parameter server and a TypeScript worker say to each other during one update of one
 * device. They talk over a Unix stream socket in the abstract namespace, so that each sees the other's death at once.
 *
 * A frame is the payload's size (u32, little-endian) and the payload, one msgpack map: a message of this file.
 *
 * ```
 * server                                    worker
 *                                        <- hello      the key, before the server says anything
 * welcome      what comes, the buffer ->
 *                                        <- ready      the buffer is mapped; how many buckets may be in flight
 * bucket       at most `credits`      ->
 *                                        <- ack        in any order
 * release      there are no more      ->
 *                                        <- released   the buffer is unmapped
 * finish                              ->
 *                                        <- finished   the post-load hook has run
 * ```
 *
 * `abort` from the server and `error` from the worker may come at any time and end the update.
 */
export const WORKER_PROTOCOL_VERSION = 2;

/** An address is `ce2:<abstract socket name>?key=<hex secret>`. */
export const WORKER_ADDRESS_SCHEME = 'ce2:';

/** Most bytes of a frame's payload, by who reads it. A larger size is a protocol error, found before it is allocated. */
export const WORKER_FRAME_LIMITS: {
  /** Read by the server from a peer that has not shown the key. */
  readonly hello: number;
  /** Read by the server from its worker. */
  readonly fromWorker: number;
  /** Read by the worker: some 300,000 tensors in one bucket. */
  readonly fromServer: number;
} = { hello: 4 * 1024, fromWorker: 1024 * 1024, fromServer: 32 * 1024 * 1024 };

/** The first message: who calls, and the proof that it was told the address. */
export interface WorkerHello {
  readonly type: 'hello';
  readonly protocol: number;
  /** The address's key, hexadecimal. */
  readonly key: string;
  readonly pid: number;
  /** The worker can pull. @default buckets only */
  readonly pull?: PullOffer | undefined;
}

/** The buffer is mapped. */
export interface WorkerReady {
  readonly type: 'ready';
  /** Buckets that the worker takes at a time, 1 and up. The server sends at most this many that are not acknowledged. */
  readonly credits: number;
}

/** The bucket's bytes may be overwritten. */
export interface WorkerAck {
  readonly type: 'ack';
  readonly index: number;
}

/** The buffer is unmapped: the server may free it. */
export interface WorkerReleased {
  readonly type: 'released';
}

/** The post-load hook has run: the worker serves the new weights. */
export interface WorkerFinished {
  readonly type: 'finished';
}

/** The worker gave up. Its stack is the error's `detail`. */
export interface WorkerError {
  readonly type: 'error';
  readonly error: SerializedError;
}

/** What a worker says. */
export type WorkerMessage =
  | WorkerHello
  | WorkerReady
  | WorkerAck
  | WorkerReleased
  | WorkerFinished
  | WorkerError
  | WorkerPullMessage;

/** The key was right: what comes, and where. */
export interface ServerWelcome {
  readonly type: 'welcome';
  readonly protocol: number;
  readonly checkpoint: string;
  readonly updateId: string;
  /** Rank of the server, 0 and up. */
  readonly rank: number;
  readonly deviceKind: DeviceKind;
  readonly deviceUuid: string;
  /** For `Device.openShared`. */
  readonly handle: Uint8Array;
  readonly sizeBytes: number;
  /** Buckets that lie in the buffer at a time: the most that can be in flight. */
  readonly slots: number;
  /** The next update comes through the same buffer, if this one goes well: its mapping may be kept. @default false */
  readonly bufferStays?: boolean | undefined;
}

/** The tensors of a bucket in columns of equal length. */
export interface TensorColumns {
  readonly names: readonly string[];
  /** As safetensors spells them: `F32`, `BF16`, `F8_E4M3`. */
  readonly dtypes: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  /** Bytes from the start of the buffer. */
  readonly offsets: readonly number[];
  /** Bytes. */
  readonly sizes: readonly number[];
}

/** A bucket lies in the buffer. */
export interface ServerBucket {
  readonly type: 'bucket';
  /** Position in the update, 0 and up. */
  readonly index: number;
  readonly tensors: TensorColumns;
}

/** There are no more buckets: let go of the buffer. */
export interface ServerRelease {
  readonly type: 'release';
}

/** Every worker has let go: run the post-load hook. */
export interface ServerFinish {
  readonly type: 'finish';
}

/** The update failed. */
export interface ServerAbort {
  readonly type: 'abort';
  readonly error: SerializedError;
}

/** What a server says. */
export type ServerMessage =
  | ServerWelcome
  | ServerBucket
  | ServerRelease
  | ServerFinish
  | ServerAbort
  | ServerPullMessage;
