import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { CheckpointFile } from '@checkpoint-engine/meta';

/** One file of a checkpoint as a rank saw it. Plain data, which travels between ranks. */
export interface SeenFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Digest of the names, dtypes, shapes and offsets of its tensors. */
  readonly headerDigest: string;
  /** Identifies the file for ranks with the same file system. */
  readonly device: string;
  readonly inode: string;
  readonly modifiedNs: string;
}

/** The files of a checkpoint as one rank saw them, in order. */
export interface SeenFiles {
  readonly host: string;
  readonly files: readonly SeenFile[];
}

/** Builds a rank's view from files with headers. */
export function seenFiles(files: readonly CheckpointFile[]): SeenFile[] {
  return files.map(({ path, sizeBytes, headerDigest, state }) => ({
    name: basename(path),
    sizeBytes,
    headerDigest,
    device: `${state.device}`,
    inode: `${state.inode}`,
    modifiedNs: `${state.modifiedNs}`,
  }));
}

/** Equal for views that are certainly the same; views of different hosts never are. */
export function digestOf(seen: SeenFiles): string {
  return createHash('sha256').update(JSON.stringify(seen)).digest('base64url');
}

/** Number of differences that an error lists. */
const SHOWN = 3;

/**
 * Checks that all ranks that divide a checkpoint by size saw the same files: each computes its share from what it saw,
 * so tensors would be missing otherwise.
 *
 * @param views By rank; `undefined` for a rank that did not register the checkpoint as a share of files.
 * @throws `CE_PLAN_MISMATCH` with two ranks and their differences.
 */
export function checkSameFiles(checkpoint: string, views: ReadonlyMap<number, SeenFiles | undefined>): void {
  const [first, view] = [...views].find(([, seen]) => seen !== undefined) ?? [];
  if (first === undefined) return;
  for (const [rank, other] of views) {
    if (rank === first) continue;
    const differences =
      other === undefined
        ? ['it was not registered there as a share of files']
        : differencesOf(view!, other, first, rank);
    if (differences.length === 0) continue;
    const more = differences.length > SHOWN ? ` and ${differences.length - SHOWN} more` : '';
    throw new CheckpointEngineError(
      'CE_PLAN_MISMATCH',
      `Ranks ${first} and ${rank} saw different files of checkpoint "${checkpoint}": ${differences.slice(0, SHOWN).join('; ')}${more}`,
      'Wait until all files are complete on every host, then unregister the checkpoint and register it on all ranks again',
      { rank },
    );
  }
}

function differencesOf(a: SeenFiles, b: SeenFiles, rankA: number, rankB: number): string[] {
  const differences = [...lacks(a, b, rankB), ...lacks(b, a, rankA)];
  const byName = new Map(b.files.map((file) => [file.name, file]));
  for (const file of a.files) {
    const other = byName.get(file.name);
    const what = other && differenceOf(file, other, a.host === b.host);
    if (what !== undefined) differences.push(`"${file.name}" ${what}`);
  }
  if (differences.length > 0) return differences;
  const isOrdered = a.files.every(({ name }, at) => b.files[at]?.name === name) && a.files.length === b.files.length;
  return isOrdered ? [] : ['they are listed in a different order'];
}

function lacks(a: SeenFiles, b: SeenFiles, rank: number): string[] {
  const names = new Set(b.files.map(({ name }) => name));
  return a.files.flatMap(({ name }) => (names.has(name) ? [] : [`rank ${rank} did not see "${name}"`]));
}

function differenceOf(a: SeenFile, b: SeenFile, isSameHost: boolean): string | undefined {
  if (a.sizeBytes !== b.sizeBytes) return `has ${a.sizeBytes} and ${b.sizeBytes} bytes`;
  if (a.headerDigest !== b.headerDigest) return 'has different tensors';
  if (!isSameHost || a.device !== b.device) return undefined;
  if (a.inode !== b.inode) return 'was replaced by another file between the registrations';
  return a.modifiedNs === b.modifiedNs ? undefined : 'was modified between the registrations';
}
