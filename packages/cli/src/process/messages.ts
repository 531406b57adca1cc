import type { InstanceAnswer, UpdateEvent } from '@checkpoint-engine/http';
import type { DeviceKind, SerializedError } from '@checkpoint-engine/interface';
import type { RegisteredCheckpoint, UpdateResult, VerifyReport } from '@checkpoint-engine/ps';
import type { RankRegisterRequest, RankUpdateRequest, WorldSettings } from '../config/requests.ts';
import type { KeptTensors } from './kept-tensors.ts';

/** A piece of the encoded metas of a checkpoint. */
export interface MetasPiece {
  /** Base64. */
  readonly piece: string;
  /** Size of all pieces together. */
  readonly sizeBytes: number;
  /** Whether the metas have the digests of all tensors. */
  readonly areDigested: boolean;
}

/** The calls to ranks, with the argument and the reply of each. Plain data. */
export interface RankCalls {
  register(request: RankRegisterRequest): RegisteredFiles;
  /** Resolves when the files that are read in the background are in host memory. */
  loaded(request: { readonly name: string }): null;
  unregister(request: { readonly name: string; readonly force?: boolean | undefined }): null;
  /** Called at all ranks. Rank 0 writes the metas to `metasFile`. */
  gatherMetas(request: {
    readonly name: string;
    readonly timeoutMs: number;
    readonly metasFile?: string | undefined;
    /** Whether to wait for the digests of files that are used in place. @default with a metas file */
    readonly untilDigested?: boolean | undefined;
  }): {
    readonly durationMs: number;
    /** The reason why `metasFile` could not be written. */
    readonly unwritten?: string | undefined;
  };
  /**
   * One piece of the encoded metas of all ranks, in base64, and the size of the metas in bytes.
   *
   * @param request.weightVersion The version to put into the metas.
   */
  getMetas(request: {
    readonly name: string;
    readonly offsetBytes: number;
    readonly weightVersion?: string | undefined;
  }): MetasPiece;
  /** Keeps the next piece of encoded metas, in base64, for `loadMetas`. */
  takeMetas(request: { readonly id: string; readonly piece: string }): null;
  /** Loads metas of another world that were sent in pieces, and those of further holders of the same checkpoint. */
  loadMetas(request: { readonly metas: string; readonly fallbacks: readonly string[] }): {
    /** The version of the weights, if the metas have one. */
    readonly weightVersion?: string | undefined;
  };
  /** Waits until this rank's engines answer. */
  engineReady(request: Pick<RankUpdateRequest, 'targets' | 'ranks' | 'timeoutMs'>): null;
  /** Creates the communicators before the first update. Called on all ranks. */
  connect(request: Pick<RankUpdateRequest, 'targets' | 'timeoutMs'>): null;
  /** Called on all ranks. */
  update(request: RankUpdateRequest): UpdateResult;
  /** The version of the engine that this rank sends requests to; null at ranks that send none. */
  heldVersion(request: Pick<RankUpdateRequest, 'targets' | 'timeoutMs'>): InstanceAnswer | null;
  /**
   * Checks whether the workers of this rank's engine can report what they hold, as far as the engine knows.
   *
   * @throws `CE_NOT_SUPPORTED`
   */
  checkVerifiable(request: Pick<RankUpdateRequest, 'targets' | 'ranks' | 'timeoutMs'>): null;
  /** Compares what the engines hold with a checkpoint. Called at all ranks; the reply is the same at all of them. */
  verify(request: Pick<RankUpdateRequest, 'name' | 'targets' | 'ranks' | 'timeoutMs'>): VerifyReport;
  /** Whether the workers of the first engine can prepare for updates. */
  canPrepare(request: Pick<RankUpdateRequest, 'targets' | 'timeoutMs'>): boolean;
  /** Lets workers record, map and page-lock what updates of a checkpoint need. Called at all ranks. */
  prepare(request: RankPrepareRequest): PrepareResult | null;
  /**
   * Removes the files on `/dev/shm` that a checkpoint uses in place. The reply lists the files that this rank removed.
   */
  removeFiles(request: { readonly name: string }): readonly string[];
}

/** The preparation of updates. */
export interface RankPrepareRequest extends RankUpdateRequest {
  /** Whether the reply includes what the worker keeps, which may be megabytes. @default false */
  readonly reportsKept?: boolean | undefined;
}

/** A preparation of one rank. */
export interface PrepareResult extends UpdateResult {
  readonly kept?: KeptTensors | undefined;
}

/** The share of a checkpoint that one rank registered. */
export interface RegisteredFiles extends RegisteredCheckpoint {
  /** Changes when any of the files changes. */
  readonly fingerprint: string;
}

/** The name of a call. */
export type CallName = keyof RankCalls;
/** The argument of a call. */
export type CallRequest<Name extends CallName> = Parameters<RankCalls[Name]>[0];
/** The reply of one rank. */
export type CallResult<Name extends CallName> = ReturnType<RankCalls[Name]>;

/** An event during a call. */
export type RankEvent = UpdateEvent;

/**
 * A message from a supervisor to the standard input of a rank, one JSON object per line. If the input ends without a
 * `close`, the supervisor is gone: the rank aborts and ends.
 */
export type ToRank =
  | { readonly type: 'open'; readonly world: WorldSettings }
  | { readonly type: 'call'; readonly id: number; readonly name: CallName; readonly request: unknown }
  /** Aborts one call, or all calls. */
  | { readonly type: 'abort'; readonly id?: number | undefined; readonly error: SerializedError }
  /** The rank answers with `pong` at once, even while it works. */
  | { readonly type: 'ping' }
  | { readonly type: 'close' };

/** A message from a rank on its standard output, one JSON object per line. Its log goes to standard error. */
export type FromRank =
  | { readonly type: 'pong' }
  | { readonly type: 'opened'; readonly device: RankDevice }
  | { readonly type: 'events'; readonly id: number; readonly events: readonly RankEvent[] }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: SerializedError; readonly atMs: number }
  /** The rank cannot continue: it releases what it holds and ends. */
  | { readonly type: 'failed'; readonly error: SerializedError; readonly atMs: number };

/** The device of a rank. */
export interface RankDevice {
  readonly kind: DeviceKind;
  readonly uuid: string;
  readonly name: string;
}
