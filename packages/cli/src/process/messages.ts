import type { UpdateEvent } from '@checkpoint-engine/http';
import type { DeviceKind, SerializedError } from '@checkpoint-engine/interface';
import type { RegisteredCheckpoint, UpdateResult } from '@checkpoint-engine/ps';
import type { RankRegisterRequest, RankUpdateRequest, WorldJob } from '../config/jobs.ts';

/** What ranks can be asked for, with what, and what each replies. Plain data. */
export interface RankCalls {
  register(job: RankRegisterRequest): RegisteredFiles;
  /** Resolves when what is read in the background is in host memory. */
  loaded(job: { readonly name: string }): null;
  unregister(job: { readonly name: string; readonly force?: boolean | undefined }): null;
  /** Called at all ranks. Rank 0 writes the metas to `metasFile`. */
  gatherMetas(job: { readonly name: string; readonly timeoutMs: number; readonly metasFile?: string | undefined }): {
    readonly durationMs: number;
    /** Why `metasFile` could not be written. */
    readonly unwritten?: string | undefined;
  };
  /** The metas of all ranks, encoded, in base64. */
  getMetas(job: { readonly name: string }): string;
  /** Takes such metas, of another world, and those of further holders of the same checkpoint. */
  loadMetas(job: { readonly metas: string; readonly fallbacks?: readonly string[] | undefined }): null;
  /** Waits until the engines answer that the ranks are to ask. */
  engineReady(job: Pick<RankUpdateRequest, 'targets' | 'ranks' | 'timeoutMs'>): null;
  /** Makes the communicators ahead of the first update. Called at all ranks. */
  connect(job: Pick<RankUpdateRequest, 'targets' | 'timeoutMs'>): null;
  /** Called at all ranks. */
  update(job: RankUpdateRequest): UpdateResult;
  /** Whether the workers of the first engine can be asked to prepare. */
  canPrepare(job: Pick<RankUpdateRequest, 'targets' | 'timeoutMs'>): boolean;
  /** Has workers record, map and page-lock what updates of a checkpoint need. Called at all ranks. */
  prepare(job: RankUpdateRequest): null;
  /** Removes the files on `/dev/shm` that a checkpoint uses in place. The reply names those that this rank removed. */
  removeFiles(job: { readonly name: string }): readonly string[];
}

/** What one rank has registered. */
export interface RegisteredFiles extends RegisteredCheckpoint {
  /** Changes when any of the files does. */
  readonly fingerprint: string;
}

/** Name of a call. */
export type CallName = keyof RankCalls;
/** What a call takes. */
export type CallJob<Name extends CallName> = Parameters<RankCalls[Name]>[0];
/** What one rank replies. */
export type CallResult<Name extends CallName> = ReturnType<RankCalls[Name]>;

/** What a call tells while it runs. */
export type RankEvent = UpdateEvent;

/**
 * What a supervisor writes to a rank's standard input, one JSON object a line. The end of the input without `close` says
 * that the supervisor is gone: the rank aborts and ends.
 */
export type ToRank =
  | { readonly type: 'open'; readonly world: WorldJob }
  | { readonly type: 'call'; readonly id: number; readonly name: CallName; readonly job: unknown }
  /** Fails one call, or all that is under way. */
  | { readonly type: 'abort'; readonly id?: number | undefined; readonly error: SerializedError }
  /** Answered with `pong` at once, whatever the rank does. */
  | { readonly type: 'ping' }
  | { readonly type: 'close' };

/** What a rank writes to its standard output, one JSON object a line. Its log goes to standard error. */
export type FromRank =
  | { readonly type: 'pong' }
  | { readonly type: 'opened'; readonly device: RankDevice }
  | { readonly type: 'events'; readonly id: number; readonly events: readonly RankEvent[] }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: SerializedError; readonly atMs: number }
  /** The rank cannot go on: it gives back what it holds and ends. */
  | { readonly type: 'failed'; readonly error: SerializedError; readonly atMs: number };

/** The device that a rank runs on. */
export interface RankDevice {
  readonly kind: DeviceKind;
  readonly uuid: string;
  readonly name: string;
}
