import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, CheckpointEngineError } from '@checkpoint-engine/interface';

/** Pauses between attempts: a network file system that fails over needs a moment, a broken disk fails every attempt. */
const DELAYS_MS = [100, 400, 1_600];
const { EIO, ETIMEDOUT, ESTALE, EREMOTEIO = 121 } = constants.errno as Record<string, number>;
const TRANSIENT: ReadonlySet<number | undefined> = new Set([EIO, ETIMEDOUT, ESTALE, EREMOTEIO]);

/** Options of {@link retryRead}. */
export interface RetryReadOptions {
  /** Ends the attempts. */
  readonly signal?: AbortSignal | undefined;
  /** Called before each pause. */
  readonly onRetry: (error: CheckpointEngineError, delayMs: number) => void;
}

/** Reads, and repeats the read if the failure of the file system may be temporary: four attempts in total. */
export async function retryRead(read: () => Promise<void>, { signal, onRetry }: RetryReadOptions): Promise<void> {
  for (const delayMs of DELAYS_MS) {
    try {
      return await read();
    } catch (error) {
      if (signal?.aborted || !isTransient(error)) throw error;
      onRetry(error, delayMs);
    }
    await sleep(delayMs, undefined, { signal }).catch(() => {
      throw abortError(signal!, 'read');
    });
  }
  await read();
}

function isTransient(error: unknown): error is CheckpointEngineError {
  return CheckpointEngineError.isInstance(error) && error.code === 'CE_FILE_UNREADABLE' && TRANSIENT.has(error.status);
}
