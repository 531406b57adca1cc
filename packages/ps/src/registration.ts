import type { DType } from '@checkpoint-engine/meta';
import type { UpdateOptions } from './api.ts';
import type { ProgressEvent } from './progress-event.ts';

/** A tensor that the caller holds in memory. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Exactly the tensor's bytes, little-endian and contiguous. Do not change them until registration has resolved. */
  readonly bytes: Uint8Array;
}

/** Safetensors files on disk or in `/dev/shm`. */
export interface FileSource {
  /** A folder (with or without `model.safetensors.index.json`), a file, or a list of files. */
  readonly files: string | readonly string[];
  /**
   * `balanced`: every rank passes the same files and owns a share of about equal size. `all`: this rank owns every
   * tensor of the files that it passes, as ranks of the Python tool do.
   * @default 'balanced'
   */
  readonly share?: 'balanced' | 'all' | undefined;
  /**
   * Use files on `/dev/shm` in place instead of copying them into the pool. On the host device with `p2p` they are
   * copied anyway, unless they stream, and are not removed, because peers cannot read them in place. @default true
   */
  readonly inPlace?: boolean | undefined;
  /**
   * Keep files that are used in place on `/dev/shm`. By default they are removed after an update of the checkpoint has
   * succeeded on all ranks, so that their memory is freed with the checkpoint. Until then they stay, so that they can
   * be registered again after a failure. A file is removed only if its name still belongs to it and its content is
   * unchanged; a file behind a symbolic link stays.
   *
   * Do not change files that are used in place until they are removed or the checkpoint is unregistered: an update from
   * files that were rewritten or truncated fails (`CE_FILE_CHANGED`). A new file with the same name is harmless.
   * @default false
   */
  readonly keepFiles?: boolean | undefined;
  /**
   * `now`: registration resolves when the bytes are in host memory. `background`: it resolves when the headers have
   * been read. The files are read afterwards. An update may run meanwhile: it sends every bucket as soon as its bytes
   * are available. Do not change the files until {@link ParameterServer.checkpointLoaded} or an update has resolved; a
   * change fails both (`CE_FILE_CHANGED`). Other failures stop reading, and the next update resumes it. Not together
   * with `stream`.
   * @default 'now'
   */
  readonly load?: 'now' | 'background' | undefined;
  /**
   * Leave the bytes in the files until an update reads them: file reads, copies to the device, broadcast and reload
   * then run at the same time, and host memory stays bounded. Each update reads the files again; a file that has
   * changed since registration fails it (`CE_FILE_CHANGED`). Files used in place are not read, but are checked in the
   * same way.
   * @default false
   */
  readonly stream?: boolean | undefined;
  /**
   * Maximum host memory for an update of a checkpoint that streams, at least 1 MiB. Larger tensors pass through it in
   * parts.
   * @default 2 GiB
   */
  readonly hostMemoryBytes?: number | undefined;
}

/** The source of a checkpoint's bytes. */
export type CheckpointSource = FileSource | { readonly tensors: readonly NamedTensor[] };

/** Options of {@link ParameterServer.registerCheckpoint}. */
export interface RegisterOptions {
  /**
   * `shared`: use the one reusable pool of this server, which outlives the checkpoint and has one user at a time. A
   * checkpoint that streams uses it during its updates only.
   * @default 'own'
   */
  readonly pool?: 'own' | 'shared' | undefined;
  /**
   * Version of the checkpoint's weights; the same on all ranks. See `WEIGHT_VERSION_RULE` of the package interface.
   * @default from the digest of its bytes: see {@link UpdateOptions.weightVersion}
   */
  readonly weightVersion?: string | undefined;
  /**
   * Digest the bytes of the checkpoint when they are read, so that updates can verify them on arrival. Without
   * digests, an update does not verify the bytes of this rank. @default true
   */
  readonly digests?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Not called for reads in the background, which the events of updates report. */
  readonly onEvent?: ((event: ProgressEvent) => void) | undefined;
}

/** The share of a checkpoint that this rank holds. */
export interface RegisteredCheckpoint {
  readonly name: string;
  readonly tensorCount: number;
  /** Size of the tensors in bytes. */
  readonly sizeBytes: number;
  /** Memory for the tensors in bytes, with padding. 0 for files that are read during the update. */
  readonly poolBytes: number;
  readonly warnings: readonly string[];
  readonly durationMs: number;
}
