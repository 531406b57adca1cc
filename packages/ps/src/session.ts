import type { DeviceKind, Logger, SharedMemory } from '@checkpoint-engine/interface';
import type { DType } from '@checkpoint-engine/meta';
import type { PullChannel } from './pull-channel.ts';
import type { SessionCallOptions } from './session-call-options.ts';

export type { SessionCallOptions } from './session-call-options.ts';

/** One tensor of a bucket in the shared buffer. */
export interface BucketTensor {
  readonly name: string;
  readonly dtype: DType;
  /** As in the checkpoint; `[]` for a scalar. */
  readonly shape: readonly number[];
  /** From the start of the shared buffer; a multiple of 256. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** The description of one bucket for a worker. Offsets are from the start of the shared buffer. */
export interface BucketMessage {
  /** Position in the update, from 0. */
  readonly index: number;
  readonly tensors: readonly BucketTensor[];
}

/** Options of {@link WorkerSession.open}. */
export interface OpenOptions extends SessionCallOptions {
  /** Slots of the ring inside the buffer. @default those of the session */
  readonly slots?: number | undefined;
}

/** A phase of {@link WorkerSession.finish} that has ended: the buffer is released, the post-load hook has run. */
export type FinishPhase = 'released' | 'loaded';

/** Options of {@link WorkerSession.finish}. */
export interface FinishOptions extends SessionCallOptions {
  /** Called at the end of each phase, in order, to measure the phases. */
  readonly onPhase?: ((phase: FinishPhase) => void) | undefined;
  /**
   * The engine's answer to the request for this update. It determines whether a worker that disconnects after it has
   * released the buffer has succeeded: some run their hook then, others have failed. Absent: such a worker has failed.
   */
  readonly answer?: Promise<void> | undefined;
}

/**
 * One update with one worker: handshake, buckets, release, post-load hook.
 *
 * Make the calls in this order. If one rejects, the update has ended for this worker: `fail` notifies the worker, and
 * `close` ends the session. Errors have the session's rank.
 */
export interface WorkerSession {
  /** The address of this device's worker, for the engine. */
  readonly address: string;
  /** Maximum number of reloads in flight (v1: 1). */
  readonly maxPending: number;
  /**
   * Version of the weights that the worker held when it connected, or `unknown`. Absent if it keeps no version, and
   * before `open` or `pull.survey`.
   */
  readonly held?: string | undefined;
  /** Makes the worker copy what it keeps from shared memory. Absent if the protocol does not support it. */
  readonly pull?: PullChannel | undefined;
  /**
   * Waits for the worker and sends the handle of the buffer.
   *
   * @throws `CE_WORKER_TIMEOUT`, `CE_WORKER_FAILED` with the worker's own text in `detail`, `CE_WORKER_LOST`.
   */
  open(buffer: SharedMemory, options: OpenOptions): Promise<void>;
  /**
   * Resolves when the worker has loaded the tensors, so that their bytes may be overwritten.
   *
   * @throws The errors of {@link WorkerSession.open}.
   */
  reload(bucket: BucketMessage, options: SessionCallOptions): Promise<void>;
  /**
   * Makes the worker release the buffer before {@link WorkerSession.finish}. Exists together with `pull`.
   *
   * @throws The errors of {@link WorkerSession.open}.
   */
  release?(options: SessionCallOptions): Promise<void>;
  /**
   * Makes the worker release the buffer and run its post-load hook.
   *
   * @throws The errors of {@link WorkerSession.open}.
   */
  finish(options: FinishOptions): Promise<void>;
  /**
   * Tells a worker that keeps a version that all workers have finished; called after `finish`. Absent if the
   * protocol does not support this.
   *
   * @throws As {@link WorkerSession.open}.
   */
  confirm?(version: string, options: SessionCallOptions): Promise<void>;
  /**
   * Opens the same address once more, after `finish`: the next call is `open`. For engines that load twice through one
   * address (SGLang with a draft model). Absent if the protocol does not need it.
   */
  reopen?(): Promise<void>;
  /** Resolves when a worker has connected to the address. Exists together with `reopen`. */
  untilCalled?(options: SessionCallOptions): Promise<void>;
  /** Tells the worker that the update failed, on a best-effort basis in bounded time. Never throws. */
  fail(error: Error): Promise<void>;
  /** Releases the address. Idempotent. */
  close(): Promise<void>;
}

/** The options of a session. */
export interface SessionOptions {
  /** The kind of the worker's device. */
  readonly deviceKind: DeviceKind;
  /** The worker's device, spelled like the `uuid` of its `Device`. */
  readonly deviceUuid: string;
  readonly updateId: string;
  /** Rises with every update and is the same on all ranks, so that a stale worker never connects to a new update. */
  readonly counter: number;
  readonly rank: number;
  /** Whether the address contains the rank, for ranks that share a device. @default false */
  readonly rankInAddress?: boolean | undefined;
  /** Slots of the ring inside the shared buffer. */
  readonly slots: number;
  /** Whether the next update uses the same buffer if this one succeeds. @default false */
  readonly bufferStays?: boolean | undefined;
  readonly checkpoint: string;
  /** Time-out of each reply of the worker. */
  readonly timeoutMs: number;
  readonly logger: Logger;
}

/** A protocol for workers. */
export interface WorkerProtocol {
  readonly name: string;
  /** Whether its sessions have a `pull`. @default false */
  readonly pulls?: boolean | undefined;
  /**
   * Checks that the protocol can describe every tensor. Called on all ranks before any data moves.
   *
   * @throws `CE_DTYPE_UNKNOWN` with the first tensor that workers cannot hold.
   */
  check?(tensors: Iterable<Pick<BucketTensor, 'name' | 'dtype' | 'shape'>>): void;
  /** Opens the address that the engine will receive. @throws `CE_ADDRESS_IN_USE` */
  createSession(options: SessionOptions): Promise<WorkerSession>;
}
