import type { FileRead, HostMemory, Logger } from '@checkpoint-engine/interface';
import { retryRead } from './retry-read.ts';
import type { StreamedFile } from './streamed-file.ts';

/** What {@link readUnchanged} reads and how. */
export interface ReadUnchangedOptions {
  readonly memory: HostMemory;
  readonly reads: readonly FileRead[];
  /** Those that are read. */
  readonly files: Iterable<StreamedFile>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
  readonly logger: Logger;
  /** Goes with what is logged. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads ranges of files that have to be what they were when their headers were read: before the read, and still after it. Where the
 * file system fails in a way that may pass, all is read again.
 *
 * @throws `CE_FILE_*`
 */
export async function readUnchanged(options: ReadUnchangedOptions): Promise<void> {
  const { memory, reads, signal, onProgress, logger, fields } = options;
  // They are gone through several times, which an iterator does not allow.
  const files = [...options.files];
  const checkFiles = async (): Promise<void> => {
    for (const file of files) await file.checkUnchanged();
  };
  await retryRead(
    async () => {
      await checkFiles();
      await memory.read(reads, { signal, onProgress });
      await checkFiles();
    },
    {
      signal,
      onRetry: (error, delayMs) =>
        logger.warn({ ...fields, file: error.file }, `${error.message}; reading again in ${delayMs} ms`),
    },
  );
  signal?.throwIfAborted();
}
