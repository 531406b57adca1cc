import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import type { RankIdentity } from '../config/environment.ts';

/** Time limit for the name of rank 0's host to resolve: the name of a starting pod is unknown at first. */
const MAX_WAIT_MS = 15_000;
const RETRY_EVERY_MS = 500;

/** The options of {@link resolveMaster}. */
export interface ResolveMasterOptions {
  readonly identity: RankIdentity;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Checks that `MASTER_ADDR` resolves, so that a rank does not wait for an answer that cannot come. Rank 0 must resolve
 * its own name at once. The other ranks retry for a moment.
 *
 * @throws `CE_STORE_UNREACHABLE` naming the host.
 */
export async function resolveMaster({ identity, timeoutMs, signal, logger }: ResolveMasterOptions): Promise<void> {
  const { rank, masterAddr } = identity;
  const endsAtMs = performance.now() + (rank === 0 ? 0 : Math.min(MAX_WAIT_MS, timeoutMs / 2));
  for (let isFirst = true; ; isFirst = false) {
    if (signal.aborted) throw abortError(signal, 'Joining the world');
    try {
      await lookup(masterAddr);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (performance.now() >= endsAtMs) throw unknownHost(masterAddr, code, error);
      if (isFirst) logger.warn({ rank, masterAddr, code }, 'MASTER_ADDR does not resolve yet');
    }
    await sleep(RETRY_EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

function unknownHost(host: string, code: string | undefined, cause: unknown): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_STORE_UNREACHABLE',
    `MASTER_ADDR "${host}" does not resolve (${code})`,
    'Set MASTER_ADDR to a name or address of the host of rank 0 that resolves at every rank',
    { peer: host, cause },
  );
}
