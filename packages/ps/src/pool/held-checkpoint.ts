import type { HostMemory } from '@checkpoint-engine/interface';
import type { CheckpointFile, ParameterMeta } from '@checkpoint-engine/meta';
import type { DigestBook } from '../digests/digest-book.ts';
import type { ProgressEvent } from '../progress-event.ts';
import type { BucketSource, SourceOptions } from '../sources/bucket-source.ts';
import type { PlacedFile } from '../sources/placed-file.ts';
import type { PoolFill } from '../sources/pool-fill.ts';
import type { StreamedFile } from '../sources/streamed-file.ts';
import type { RemovableFile } from './remove-file.ts';

/** One region of a rank's share: memory, or a file that stays on disk until an update reads it. */
export interface HeldRegion {
  readonly sizeBytes: number;
  /** Absent for a file on disk. */
  readonly memory?: HostMemory | undefined;
  /** Present for a file on disk. */
  readonly file?: StreamedFile | undefined;
  /** Present for a file that is used in place: the memory maps the file. */
  readonly placed?: PlacedFile | undefined;
}

/** Options of {@link HeldCheckpoint.readDigests}. */
export interface DigestReading {
  readonly signal: AbortSignal;
  /** Called with the progress of reading. */
  readonly emit: (event: ProgressEvent) => void;
}

/** A share of a checkpoint that this rank can send. */
export interface HeldCheckpoint {
  readonly regions: readonly HeldRegion[];
  /** In the order of the regions, then by offset. */
  readonly tensors: readonly ParameterMeta[];
  /** Size of the tensors in bytes. */
  readonly sizeBytes: number;
  /** Size of the memory for the tensors in bytes. */
  readonly poolBytes: number;
  /** Maximum host memory for an update. @default no bound */
  readonly hostMemoryBytes?: number | undefined;
  readonly warnings: readonly string[];
  /** All files from which the share was computed; absent if it is not a share. */
  readonly sharedFiles?: readonly CheckpointFile[] | undefined;
  /** Files on `/dev/shm` to remove once the checkpoint is in the engines. */
  readonly removableFiles: readonly RemovableFile[];
  /** Reads the bytes into memory in the background. Absent if that is complete, or not used. */
  readonly fill?: PoolFill | undefined;
  /** The digests of the tensors, as far as their bytes have been read. Absent if they are not needed. */
  readonly digests?: DigestBook | undefined;
  /** Resolves when files that are used in place have been digested. Never rejects. */
  readonly digesting?: Promise<void> | undefined;
  /**
   * Reads the bytes whose digests are not known yet. Absent if they become known without it.
   *
   * @throws `CE_FILE_*`, `CE_HOST_OUT_OF_MEMORY`
   */
  readDigests?(options: DigestReading): Promise<void>;
  /** Opens the tensors' bytes for one update. @throws `CE_HOST_OUT_OF_MEMORY` */
  openSource(options: SourceOptions): Promise<BucketSource>;
  /** Frees the memory (a shared pool: for its next user). Idempotent. */
  close(): Promise<void>;
}
