import type { HostMemory } from '@checkpoint-engine/interface';
import type { CheckpointFile, ParameterMeta } from '@checkpoint-engine/meta';
import type { BucketSource, SourceOptions } from '../sources/bucket-source.ts';
import type { PlacedFile } from '../sources/placed-file.ts';
import type { PoolFill } from '../sources/pool-fill.ts';
import type { StreamedFile } from '../sources/streamed-file.ts';
import type { RemovableFile } from './remove-file.ts';

/** One region of what a rank holds: memory, or a file that stays on its disk until an update reads it. */
export interface HeldRegion {
  readonly sizeBytes: number;
  /** Absent for a file on disk. */
  readonly memory?: HostMemory | undefined;
  /** Present for a file on disk. */
  readonly file?: StreamedFile | undefined;
  /** Present for a file that is used in place: the memory is its bytes. */
  readonly placed?: PlacedFile | undefined;
}

/** A checkpoint's share that this rank can send. */
export interface HeldCheckpoint {
  readonly regions: readonly HeldRegion[];
  /** In the order of the regions, then by offset. */
  readonly tensors: readonly ParameterMeta[];
  /** Bytes of the tensors. */
  readonly sizeBytes: number;
  /** Bytes of the memory that holds them. */
  readonly poolBytes: number;
  /** Most host memory that an update reads into. @default no bound */
  readonly hostMemoryBytes?: number | undefined;
  readonly warnings: readonly string[];
  /** All files that the share was worked out from; absent where it is not a share. */
  readonly sharedFiles?: readonly CheckpointFile[] | undefined;
  /** Files on `/dev/shm` that are to lose their names once the checkpoint is in the engines. */
  readonly removableFiles: readonly RemovableFile[];
  /** Brings the bytes into memory in the background. Absent where that is done, or never is. */
  readonly fill?: PoolFill | undefined;
  /** Gives the tensors' bytes to one update. @throws `CE_HOST_OUT_OF_MEMORY` */
  openSource(options: SourceOptions): Promise<BucketSource>;
  /** Gives the memory back (a shared pool: to its next user). Idempotent. */
  close(): Promise<void>;
}
