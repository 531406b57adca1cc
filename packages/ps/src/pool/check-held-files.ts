import type { Logger } from '@checkpoint-engine/interface';
import { retryRead } from '../sources/retry-read.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';

/**
 * Checks that the files which an update will read are unchanged since their headers were read. An engine that has
 * received a request discards its weights if the update fails, so this check comes before the request.
 *
 * @throws `CE_FILE_CHANGED`, `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`
 */
export async function checkHeldFiles(
  { regions, fill }: Pick<HeldCheckpoint, 'regions' | 'fill'>,
  { signal, logger, rank }: { readonly signal: AbortSignal; readonly logger: Logger; readonly rank: number },
): Promise<void> {
  const check = async (): Promise<void> => {
    const files = [...regions.flatMap(({ file, placed }) => file ?? placed ?? []), ...(fill?.unreadFiles() ?? [])];
    await Promise.all(files.map((file) => file.checkUnchanged()));
  };
  await retryRead(check, {
    signal,
    onRetry: (error, delayMs) =>
      logger.warn({ rank, file: error.file }, `${error.message}; checking again in ${delayMs} ms`),
  });
}
