import type { FileRead, HostMemory, Logger } from '@checkpoint-engine/interface';
import { retryRead } from './retry-read.ts';
import type { StreamedFile } from './streamed-file.ts';

/** The options of {@link readUnchanged}. */
export interface ReadUnchangedOptions {
  readonly memory: HostMemory;
  readonly reads: readonly FileRead[];
  /** The files to read. */
  readonly files: Iterable<StreamedFile>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
  readonly logger: Logger;
  /** Fields for log records. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads ranges of files, and checks before and after the read that the files are unchanged since their headers were
 * read. Repeats the read if the file system fails in a way that may be temporary.
 *
 * @throws `CE_FILE_*`
 */
export async function readUnchanged(options: ReadUnchangedOptions): Promise<void> {
  const { memory, reads, signal, onProgress, logger, fields } = options;
  // The files are iterated several times, which an iterator does not allow.
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
