import type { FileRead, HostMemory, Logger } from '@checkpoint-engine/interface';
import { retryRead } from './retry-read.ts';
import type { StreamedFile } from './streamed-file.ts';

/** What {@link readUnchanged} reads and how. */
export interface ReadUnchangedOptions {
  readonly memory: HostMemory;
  readonly reads: readonly FileRead[];
  /** Those that are read. */
  readonly files: Iterable<StreamedFile>;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Goes with what is logged. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads ranges of files that are to be what they were at registration, which is looked at before and after. Where the
 * file system fails in a way that may pass, all is read again.
 *
 * @throws `CE_FILE_*`
 */
export async function readUnchanged(options: ReadUnchangedOptions): Promise<void> {
  const { memory, reads, files, signal, logger, fields } = options;
  const checkFiles = async (): Promise<void> => {
    for (const file of files) await file.checkUnchanged();
  };
  await retryRead(
    async () => {
      await checkFiles();
      await memory.read(reads, { signal });
      await checkFiles();
    },
    {
      signal,
      onRetry: (error, delayMs) =>
        logger.warn({ ...fields, file: error.file }, `${error.message}; reading again in ${delayMs} ms`),
    },
  );
  signal.throwIfAborted();
}
