import type { DeviceKind } from './device.ts';
import type { SerializedError } from './errors.ts';
import type { ServerPullMessage } from './server-pull-messages.ts';
import type { PullOffer } from './worker-pull.ts';
import type { WorkerPullMessage } from './worker-pull-messages.ts';

/**
 * Worker protocol 2: the messages between the parameter server and a TypeScript worker during one update of one
 * device. They use a Unix stream socket in the abstract namespace, so each side notices the other's death immediately.
 *
 * A frame is the payload's size (u32, little-endian) and the payload, one msgpack map: a message of this file.
 *
 * ```
 * server                                    worker
 *                                        <- hello      the key, before the server says anything
 * welcome      the update, the buffer ->
 *                                        <- ready      the buffer is mapped; how many buckets may be in flight
 * bucket       at most `credits`      ->
 *                                        <- ack        in any order
 * release      there are no more      ->
 *                                        <- released   the buffer is unmapped
 * finish                              ->
 *                                        <- finished   the post-load hook has run
 * confirm      the version            ->
 *                                        <- confirmed
 * ```
 *
 * The server sends `confirm` only if the worker's hello has `holds` and the server's finish has `confirms`, after the
 * workers of all ranks have finished. From the first byte that the worker writes until then, the version of its
 *  weights * is unknown.
 *
 * `abort` from the server and `error` from the worker may come at any time and end the update.
 */
export const WORKER_PROTOCOL_VERSION = 2;

/** An address is `ce2:<abstract socket name>?key=<hex secret>`. */
export const WORKER_ADDRESS_SCHEME = 'ce2:';

/**
 * Maximum bytes of a frame's payload, by reader. A larger size is a protocol error; the reader detects it before it
 * allocates memory.
 */
export const WORKER_FRAME_LIMITS: {
  /** Limit of the server for a peer that has not sent the key yet. */
  readonly hello: number;
  /** Limit of the server for its worker. */
  readonly fromWorker: number;
  /** Limit of the worker: some 300,000 tensors in one bucket. */
  readonly fromServer: number;
} = { hello: 4 * 1024, fromWorker: 1024 * 1024, fromServer: 32 * 1024 * 1024 };

/** The first message: identifies the worker, and proves that it knows the address. */
export interface WorkerHello {
  readonly type: 'hello';
  readonly protocol: number;
  /** The key of the address, hexadecimal. */
  readonly key: string;
  readonly pid: number;
  /**
   * Version of the weights that the worker holds: that of the last `confirm`, or `unknown`. Absent if the worker keeps
   * no version: the server then sends no `confirm`.
   */
  readonly holds?: string | undefined;
  /** The worker supports the pull extension. @default buckets only */
  readonly pull?: PullOffer | undefined;
}

/** The buffer is mapped. */
export interface WorkerReady {
  readonly type: 'ready';
  /**
   * Number of buckets that the worker takes at a time, 1 and up. The server sends at most this many unacknowledged
   * buckets.
   */
  readonly credits: number;
}

/** The server may overwrite the bucket's bytes. */
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

/** The worker has taken note of the version. */
export interface WorkerConfirmed {
  readonly type: 'confirmed';
}

/** The worker failed. Its stack is the error's `detail`. */
export interface WorkerError {
  readonly type: 'error';
  readonly error: SerializedError;
}

/** All messages of a worker. */
export type WorkerMessage =
  | WorkerHello
  | WorkerReady
  | WorkerAck
  | WorkerReleased
  | WorkerFinished
  | WorkerConfirmed
  | WorkerError
  | WorkerPullMessage;

/** The key is correct: announces what follows, and the buffer. */
export interface ServerWelcome {
  readonly type: 'welcome';
  readonly protocol: number;
  readonly checkpoint: string;
  readonly updateId: string;
  /** Rank of the server, 0 and up. */
  readonly rank: number;
  readonly deviceKind: DeviceKind;
  readonly deviceUuid: string;
  /** The argument of `Device.openShared`. */
  readonly handle: Uint8Array;
  readonly sizeBytes: number;
  /** Number of buckets that the buffer holds at a time: the most that can be in flight. */
  readonly slots: number;
  /**
   * If this update succeeds, the next update uses the same buffer, so the worker may keep its mapping.
   * @default false
   */
  readonly bufferStays?: boolean | undefined;
}

/** The tensors of a bucket in columns of equal length. */
export interface TensorColumns {
  readonly names: readonly string[];
  /** Names in the spelling of safetensors: `F32`, `BF16`, `F8_E4M3`. */
  readonly dtypes: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  /** Bytes from the start of the buffer. */
  readonly offsets: readonly number[];
  /** Bytes. */
  readonly sizes: readonly number[];
}

/** The buffer holds a bucket. */
export interface ServerBucket {
  readonly type: 'bucket';
  /** Position in the update, 0 and up. */
  readonly index: number;
  readonly tensors: TensorColumns;
}

/** There are no more buckets: the worker must unmap the buffer. */
export interface ServerRelease {
  readonly type: 'release';
}

/** Every worker has unmapped the buffer: the worker must run the post-load hook. */
export interface ServerFinish {
  readonly type: 'finish';
  /** Whether a `confirm` follows, unless the update fails. @default false */
  readonly confirms?: boolean | undefined;
}

/** The workers of all ranks have finished: the weights have this version. */
export interface ServerConfirm {
  readonly type: 'confirm';
  readonly version: string;
}

/** The update failed. */
export interface ServerAbort {
  readonly type: 'abort';
  readonly error: SerializedError;
}

/** All messages of a server. */
export type ServerMessage =
  | ServerWelcome
  | ServerBucket
  | ServerRelease
  | ServerFinish
  | ServerConfirm
  | ServerAbort
  | ServerPullMessage;
