import { type FileHandle, open, stat } from 'node:fs/promises';
import { abortError, CheckpointEngineError } from '@checkpoint-engine/interface';
import { invalidFile, truncatedFile, unreadableFile } from './file-errors.ts';

/** A regular file that is open for reading. */
export interface OpenFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Reads exactly `sizeBytes` at `offsetBytes`. @throws `CE_FILE_TRUNCATED`, `CE_FILE_UNREADABLE` */
  read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array>;
}

/**
 * Opens a regular file, hands it to `use` and closes it.
 *
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_ABORTED`, and what `use` throws
 */
export async function withFile<T>(
  path: string,
  signal: AbortSignal | undefined,
  use: (file: OpenFile) => T | Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    throwIfAborted(signal, path);
    // Before it is opened: opening a pipe would wait for its writer.
    const kind = await stat(path);
    if (!kind.isFile()) {
      throw invalidFile(path, `is ${kind.isDirectory() ? 'a directory' : 'no regular file'}, want a regular file`, {
        code: 'CE_FILE_UNREADABLE',
        hint: 'Name a file',
      });
    }
    const opened = await open(path, 'r');
    handle = opened;
    const sizeBytes = (await opened.stat()).size;
    const read = async (offsetBytes: number, size: number) => {
      const bytes = new Uint8Array(size);
      for (let done = 0; done < size; ) {
        throwIfAborted(signal, path);
        const { bytesRead } = await opened.read(bytes, done, size - done, offsetBytes + done);
        if (bytesRead === 0) {
          throw truncatedFile(path, `ends at byte ${offsetBytes + done}, want ${size} bytes from ${offsetBytes}`);
        }
        done += bytesRead;
      }
      return bytes;
    };
    return await use({ path, sizeBytes, read });
  } catch (error) {
    throw CheckpointEngineError.isInstance(error) ? error : unreadableFile(path, error);
  } finally {
    await handle?.close();
  }
}

/** Throws the signal's error where it has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, path: string): void {
  if (signal?.aborted) throw abortError(signal, `Reading "${path}"`);
}
