import type { BigIntStats } from 'node:fs';
import { CheckpointEngineError, type FileState } from '@checkpoint-engine/interface';

/** Takes the state of a file from its stat. */
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

/** Whether both states belong to the same file, changed or not. */
export function isSameFile(a: FileState, b: FileState): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/** Describes how a file differs from its earlier state, as part of a sentence; `undefined` if it is unchanged. */
export function changeOf(before: FileState, now: FileState): string | undefined {
  if (!isSameFile(before, now)) return 'another file has its name now';
  if (before.sizeBytes !== now.sizeBytes) return `it had ${before.sizeBytes} bytes and has ${now.sizeBytes}`;
  if (before.modifiedNs !== now.modifiedNs) {
    return `it was written at ${time(before.modifiedNs)} and again at ${time(now.modifiedNs)}`;
  }
  if (before.changedNs === now.changedNs) return undefined;
  return `its size and modification time are the same, but the file system changed it at ${time(now.changedNs)}`;
}

/** Creates the error for a file that has changed. `what` is the result of {@link changeOf}. */
export function changedFile(path: string, what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_FILE_CHANGED',
    `${path} has changed since its header was read: ${what}`,
    'Write new weights into a new folder, and register the files once they are complete',
    { file: path },
  );
}

const time = (ns: bigint): string => new Date(Number(ns / 1_000_000n)).toISOString();
