import type { DeviceKind, Logger, SharedMemory } from '@checkpoint-engine/interface';
import type { DType } from '@checkpoint-engine/meta';
import type { PullChannel } from './pull-channel.ts';
import type { SessionCallOptions } from './session-call-options.ts';

export type { SessionCallOptions } from './session-call-options.ts';

/** One tensor of a bucket, as the worker finds it in the shared buffer. */
export interface BucketTensor {
  readonly name: string;
  readonly dtype: DType;
  /** As the checkpoint has it; `[]` for a scalar. */
  readonly shape: readonly number[];
  /** From the start of the shared buffer; a multiple of 256. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** What a worker is told of one bucket. Offsets are from the start of the shared buffer. */
export interface BucketMessage {
  /** Position in the update, 0 and up. */
  readonly index: number;
  readonly tensors: readonly BucketTensor[];
}

/** Options of {@link WorkerSession.open}. */
export interface OpenOptions extends SessionCallOptions {
  /** Slots of the ring inside the buffer. @default those of the session */
  readonly slots?: number | undefined;
}

/** A part of {@link WorkerSession.finish} that is over: the buffer is let go of, the post-load hook has run. */
export type FinishPhase = 'released' | 'loaded';

/** Options of {@link WorkerSession.finish}. */
export interface FinishOptions extends SessionCallOptions {
  /** Called when each phase is over, in order, for those that time them. */
  readonly onPhase?: ((phase: FinishPhase) => void) | undefined;
  /**
   * The engine's answer to the request for this update. It decides where a worker ends as soon as it has let go of the
   * buffer: some run their hook then, others have failed. Absent: such a worker has failed.
   */
  readonly answer?: Promise<void> | undefined;
}

/**
 * One update with one worker: handshake, buckets, release, post-load hook.
 *
 * Calls are made in that order. When one rejects, the update is over for this worker: `fail` tells it so, `close` ends
 * the session. Errors carry the session's rank.
 */
export interface WorkerSession {
  /** What the engine is told for this device. */
  readonly address: string;
  /** Reloads that may be in flight at a time (v1: 1). */
  readonly maxPending: number;
  /** Has the worker copy what it keeps out of shared memory. Absent where the protocol cannot. */
  readonly pull?: PullChannel | undefined;
  /**
   * Waits for the worker and hands over the buffer.
   *
   * @throws `CE_WORKER_TIMEOUT`, `CE_WORKER_FAILED` with the worker's own text in `detail`, `CE_WORKER_LOST`.
   */
  open(buffer: SharedMemory, options: OpenOptions): Promise<void>;
  /**
   * Resolves when the worker has taken the tensors, so that their bytes may be overwritten.
   *
   * @throws As {@link WorkerSession.open}.
   */
  reload(bucket: BucketMessage, options: SessionCallOptions): Promise<void>;
  /**
   * Makes the worker let go of the buffer before {@link WorkerSession.finish}. Beside `pull`.
   *
   * @throws As {@link WorkerSession.open}.
   */
  release?(options: SessionCallOptions): Promise<void>;
  /**
   * Makes the worker let go of the buffer and run its post-load hook.
   *
   * @throws As {@link WorkerSession.open}.
   */
  finish(options: FinishOptions): Promise<void>;
  /**
   * Opens the same address once more, after `finish`: the next call is `open`. For engines that load twice through one
   * address (SGLang with a draft model). Absent where the protocol has no use for it.
   */
  reopen?(): Promise<void>;
  /** Resolves when a worker has come to the address. Beside `reopen`. */
  untilCalled?(options: SessionCallOptions): Promise<void>;
  /** Tells the worker that the update failed, as well as it can in bounded time. Never throws. */
  fail(error: Error): Promise<void>;
  /** Releases the address. Idempotent. */
  close(): Promise<void>;
}

/** What a session is made of. */
export interface SessionOptions {
  /** The kind of the device that the worker runs on. */
  readonly deviceKind: DeviceKind;
  /** The device that the worker runs on, as the `uuid` of its `Device` spells it. */
  readonly deviceUuid: string;
  readonly updateId: string;
  /** Rises with every update and is the same on all ranks, so that a stale worker never meets a new update. */
  readonly counter: number;
  readonly rank: number;
  /** Makes the address differ between ranks that share a device. @default false */
  readonly rankInAddress?: boolean | undefined;
  /** Slots of the ring inside the shared buffer. */
  readonly slots: number;
  /** The next update comes through the same buffer, if this one goes well. @default false */
  readonly bufferStays?: boolean | undefined;
  readonly checkpoint: string;
  /** How long one reply of the worker may take. */
  readonly timeoutMs: number;
  readonly logger: Logger;
}

/** A way to talk to workers. */
export interface WorkerProtocol {
  readonly name: string;
  /** Its sessions have a `pull`. @default false */
  readonly pulls?: boolean | undefined;
  /**
   * Checks that workers can be told of every tensor. Called on all ranks before anything moves.
   *
   * @throws `CE_DTYPE_UNKNOWN` naming the first tensor that they cannot hold.
   */
  check?(tensors: Iterable<Pick<BucketTensor, 'name' | 'dtype' | 'shape'>>): void;
  /** Opens the address, so that the engine can be told of it. @throws `CE_ADDRESS_IN_USE` */
  createSession(options: SessionOptions): Promise<WorkerSession>;
}
