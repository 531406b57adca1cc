import type { Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { abortError, CheckpointEngineError, type FileState } from '@checkpoint-engine/interface';
import { invalidFile, truncatedFile, unreadableFile } from './file-errors.ts';
import { changedFile, changeOf, fileStateOf } from './file-state.ts';

/** Upper bound for the resolution of file times on Linux file systems. */
const TICK_MS = 20;

const FIFO_HINT = 'Save the data to a regular file first: a FIFO, such as one of <(command), can be read only once';

/** A regular file that is open for reading. */
export interface OpenFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** The state of the file when it was opened. */
  readonly state: FileState;
  /** Reads exactly `sizeBytes` at `offsetBytes`. @throws `CE_FILE_TRUNCATED`, `CE_FILE_UNREADABLE` */
  read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array>;
}

/**
 * Opens a regular file, passes it to `use` and closes it.
 *
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_ABORTED`, and the errors of `use`
 */
export async function withFile<T>(
  path: string,
  signal: AbortSignal | undefined,
  use: (file: OpenFile) => T | Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    throwIfAborted(signal, path);
    // The check precedes the open because opening a pipe waits for its writer.
    const kind = await stat(path);
    if (!kind.isFile()) {
      throw invalidFile(path, `is ${kindOf(kind)}, expected a regular file`, {
        code: 'CE_FILE_UNREADABLE',
        hint: kind.isFIFO() ? FIFO_HINT : 'Pass a regular file',
      });
    }
    const opened = await open(path, 'r');
    handle = opened;
    const state = await settledState(opened);
    const { sizeBytes } = state;
    const read = async (offsetBytes: number, size: number) => {
      const bytes = new Uint8Array(size);
      for (let done = 0; done < size; ) {
        throwIfAborted(signal, path);
        const { bytesRead } = await opened.read(bytes, done, size - done, offsetBytes + done);
        if (bytesRead === 0) {
          throw truncatedFile(path, `ends at byte ${offsetBytes + done}, expected ${size} bytes from ${offsetBytes}`);
        }
        done += bytesRead;
      }
      return bytes;
    };
    const result = await use({ path, sizeBytes, state, read });
    const change = changeOf(state, fileStateOf(await opened.stat({ bigint: true })));
    if (change !== undefined) throw changedFile(path, change);
    return result;
  } catch (error) {
    throw CheckpointEngineError.isInstance(error) ? error : await unreadableFile(path, error);
  } finally {
    await handle?.close();
  }
}

function kindOf(kind: Stats): string {
  if (kind.isDirectory()) return 'a directory';
  if (kind.isFIFO()) return 'a FIFO';
  return kind.isSocket() ? 'a socket' : 'a device';
}

/**
 * Returns the state of an open file. If the file changed just now, the function first waits for the next tick of the
 * file system's clock: a further change within the same tick would not be visible.
 */
async function settledState(file: FileHandle): Promise<FileState> {
  const state = fileStateOf(await file.stat({ bigint: true }));
  const ageMs = Date.now() - Number(state.changedNs / 1_000_000n);
  // A modification time in the future comes from a host whose clock is ahead, so the age of the file is unknown.
  if (ageMs < 0 || ageMs >= TICK_MS) return state;
  await setTimeout(TICK_MS - ageMs);
  return fileStateOf(await file.stat({ bigint: true }));
}

/** Throws the signal's error if the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, path: string): void {
  if (signal?.aborted) throw abortError(signal, `Reading "${path}"`);
}
