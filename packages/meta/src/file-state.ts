import type { BigIntStats } from 'node:fs';
import { CheckpointEngineError, type FileState } from '@checkpoint-engine/interface';

/** The state of a file out of what the system says of it. */
export function fileStateOf({ dev, ino, size, mtimeNs, ctimeNs, nlink }: BigIntStats): FileState {
  return {
    device: dev,
    inode: ino,
    sizeBytes: Number(size),
    modifiedNs: mtimeNs,
    changedNs: ctimeNs,
    links: Number(nlink),
  };
}

/** Whether two states are those of one file, which may have been changed between them. */
export function isSameFile(a: FileState, b: FileState): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/** Tells how a file differs from what it was before: a part of a sentence, or nothing where it is unchanged. */
export function changeOf(before: FileState, now: FileState): string | undefined {
  if (!isSameFile(before, now)) return 'another file has its name now';
  if (before.sizeBytes !== now.sizeBytes) return `it had ${before.sizeBytes} bytes and has ${now.sizeBytes}`;
  if (before.modifiedNs !== now.modifiedNs) {
    return `it was written at ${time(before.modifiedNs)} and again at ${time(now.modifiedNs)}`;
  }
  if (before.changedNs === now.changedNs) return undefined;
  return `its size and its time of writing are the same, but the file system changed it at ${time(now.changedNs)}`;
}

/** The error of a file that is not what it was. `what` is what {@link changeOf} tells. */
export function changedFile(path: string, what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_FILE_CHANGED',
    `${path} has changed since its header was read: ${what}`,
    'Write new weights into a new folder, and register the files once they are complete',
    { file: path },
  );
}

const time = (ns: bigint): string => new Date(Number(ns / 1_000_000n)).toISOString();
