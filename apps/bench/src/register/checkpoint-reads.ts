import type { FileRead } from '@checkpoint-engine/interface';
import { readCheckpoint } from '@checkpoint-engine/meta';

/** The reads of a whole checkpoint into one memory, with the layout of a pool. */
export interface CheckpointReads {
  readonly reads: readonly FileRead[];
  readonly paths: readonly string[];
  /** Size of the memory. */
  readonly sizeBytes: number;
}

/** Reads the headers of a checkpoint's files. */
export async function checkpointReads(dir: string): Promise<CheckpointReads> {
  const checkpoint = await readCheckpoint(dir);
  const reads: FileRead[] = [];
  let sizeBytes = 0;
  for (const { path, fileOffsetBytes, sizeBytes: bytes } of checkpoint.tensors) {
    reads.push({ path, fileOffsetBytes, sizeBytes: bytes, offsetBytes: sizeBytes });
    sizeBytes += Math.ceil(bytes / 256) * 256;
  }
  return { reads, paths: checkpoint.files.map(({ path }) => path), sizeBytes };
}
