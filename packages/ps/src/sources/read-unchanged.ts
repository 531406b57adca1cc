import type { FileRead, HostMemory, Logger } from '@checkpoint-engine/interface';
import type { BlockRequest, DigestTally, TensorRange } from '../digests/digest-book.ts';
import { digestMemory } from '../digests/digest-memory.ts';
import { retryRead } from './retry-read.ts';
import type { StreamedFile } from './streamed-file.ts';

/** The options of {@link readUnchanged}. */
export interface ReadUnchangedOptions {
  readonly memory: HostMemory;
  readonly reads: readonly FileRead[];
  /** The files to read. */
  readonly files: Iterable<StreamedFile>;
  readonly signal?: AbortSignal | undefined;
  /** Locations of tensor bytes in the memory: they are digested while they are read. */
  readonly digest?: { readonly tally: DigestTally; readonly ranges: readonly TensorRange[] } | undefined;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
  readonly logger: Logger;
  /** Fields for log records. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads ranges of files, and checks before and after the read that the files are unchanged since their headers were
 * read. Repeats the read if the failure of the file system may be temporary.
 *
 * @throws `CE_FILE_*`, `CE_DIGEST_MISMATCH`
 */
export async function readUnchanged(options: ReadUnchangedOptions): Promise<void> {
  const { memory, reads, signal, onProgress, logger, fields, digest } = options;
  // The files are iterated several times, which an iterator does not allow.
  const files = [...options.files];
  const checkFiles = async (): Promise<void> => {
    for (const file of files) await file.checkUnchanged();
  };
  await retryRead(
    async () => {
      await checkFiles();
      const digests = digest && newSums(digest);
      await memory.read(reads, { signal, onProgress, digest: memory.digest && digests });
      await checkFiles();
      if (digests === undefined) return;
      const sums = memory.digest === undefined ? await digestMemory(memory, digests) : digests.sums;
      digest!.tally.add(digests, sums);
    },
    {
      signal,
      onRetry: (error, delayMs) =>
        logger.warn({ ...fields, file: error.file }, `${error.message}; reading again in ${delayMs} ms`),
    },
  );
  signal?.throwIfAborted();
}

function newSums({ tally, ranges }: NonNullable<ReadUnchangedOptions['digest']>): BlockRequest & {
  readonly sums: BigUint64Array;
} {
  const request = tally.requestOf(ranges);
  return { ...request, sums: new BigUint64Array(request.sumCount) };
}
