import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { HostMemory } from '@checkpoint-engine/interface';
import { type CheckpointFile, changedFile, changeOf, fileStateOf, unreadableFile } from '@checkpoint-engine/meta';

/** Parts of a chunk that are read at the same time: one thread reads a few GB/s. */
const READS = 4;

/** A tensor in a file, and the index of the first of its blocks. */
export interface FileTensor {
  readonly fileOffsetBytes: number;
  readonly sizeBytes: number;
  readonly firstBlock: number;
}

/** A file, and the results from its bytes. */
export interface DigestedFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of the whole file, in hexadecimal digits. */
  readonly sha256?: string | undefined;
}

/** Input of {@link digestFile}. */
export interface FileDigesting {
  readonly blockBytes: number;
  /** The digests of all blocks of the file's tensors are added here. */
  readonly blocks: BigUint64Array;
  /** Two buffers of equal size: one is filled while the other is digested. */
  readonly buffers: readonly HostMemory[];
  readonly sha256: boolean;
  readonly signal: AbortSignal;
  readonly onRead: (bytes: number) => void;
}

/**
 * Reads a file once, through one descriptor, and digests its tensors and its bytes.
 *
 * @throws `CE_FILE_CHANGED` It has changed since its header was read, or changes during the read.
 */
export async function digestFile(
  file: Pick<CheckpointFile, 'path' | 'sizeBytes' | 'state'>,
  tensors: readonly FileTensor[],
  work: FileDigesting,
): Promise<DigestedFile> {
  const { path, sizeBytes } = file;
  let next: Promise<Uint8Array> | undefined;
  const handle = await open(path, 'r').catch(async (error: unknown) => {
    throw await unreadableFile(path, error);
  });
  try {
    await checkUnchanged(handle, file);
    const hash = work.sha256 ? createHash('sha256') : undefined;
    const chunkBytes = work.buffers[0]!.sizeBytes;
    const chunkAt = (index: number): Promise<Uint8Array> | undefined => {
      const at = index * chunkBytes;
      if (at >= sizeBytes) return undefined;
      return readInto(handle, work.buffers[index % 2]!, at, Math.min(chunkBytes, sizeBytes - at), file);
    };
    next = chunkAt(0);
    for (let index = 0; next !== undefined; index++) {
      work.signal.throwIfAborted();
      const bytes: Uint8Array = await next;
      next = chunkAt(index + 1);
      next?.catch(() => {}); // It is awaited in the next turn.
      const digesting = digestChunk(work, index, bytes.byteLength, tensors);
      hash?.update(bytes);
      await digesting;
      work.onRead(bytes.byteLength);
    }
    await checkUnchanged(handle, file);
    return { path, sizeBytes, sha256: hash?.digest('hex') };
  } finally {
    // After a failure, nothing may be written to the buffers any more.
    await Promise.allSettled([next]);
    await handle.close();
  }
}

async function checkUnchanged(handle: FileHandle, { path, state }: Pick<CheckpointFile, 'path' | 'state'>) {
  const change = changeOf(state, fileStateOf(await handle.stat({ bigint: true })));
  if (change !== undefined) throw changedFile(path, change);
}

async function readInto(
  handle: FileHandle,
  buffer: HostMemory,
  at: number,
  sizeBytes: number,
  { path }: Pick<CheckpointFile, 'path'>,
): Promise<Uint8Array> {
  const bytes = buffer.view(0, sizeBytes);
  const partBytes = Math.ceil(sizeBytes / READS);
  const readPart = async (from: number): Promise<void> => {
    const end = Math.min(sizeBytes, from + partBytes);
    for (let done = from; done < end; ) {
      const { bytesRead } = await handle.read(bytes, done, end - done, at + done).catch(async (error: unknown) => {
        throw await unreadableFile(path, error);
      });
      if (bytesRead === 0) throw changedFile(path, `it ends at byte ${at + done}`);
      done += bytesRead;
    }
  };
  const parts = Array.from({ length: Math.ceil(sizeBytes / partBytes) }, (_, part) => readPart(part * partBytes));
  // The buffer must not be closed while a part is being read.
  await Promise.allSettled(parts);
  await Promise.all(parts);
  return bytes;
}

/** Adds the digests of the tensors' bytes in a chunk. */
async function digestChunk(
  { buffers, blockBytes, blocks }: FileDigesting,
  index: number,
  sizeBytes: number,
  tensors: readonly FileTensor[],
): Promise<void> {
  const buffer = buffers[index % 2]!;
  const from = index * buffer.sizeBytes;
  const to = from + sizeBytes;
  const blockOf: number[] = [];
  const ranges = tensors.flatMap(({ fileOffsetBytes, sizeBytes: all, firstBlock }) => {
    const start = Math.max(from, fileOffsetBytes);
    const end = Math.min(to, fileOffsetBytes + all);
    if (start >= end) return [];
    const positionBytes = start - fileOffsetBytes;
    const sum = blockOf.length;
    const last = Math.floor((end - fileOffsetBytes - 1) / blockBytes);
    for (let block = Math.floor(positionBytes / blockBytes); block <= last; block++) blockOf.push(firstBlock + block);
    return [{ offsetBytes: start - from, sizeBytes: end - start, positionBytes, sum }];
  });
  if (ranges.length === 0) return;
  const sums = await buffer.digest!({ ranges, blockBytes, sumCount: blockOf.length });
  // A BigUint64Array wraps around by itself.
  for (const [at, block] of blockOf.entries()) blocks[block]! += sums[at]!;
}
