import { sweepShared } from '@checkpoint-engine/device';
import type { Logger } from '@checkpoint-engine/interface';

/** Removes shared memory that killed ranks of this user left behind. Never rejects. */
export async function sweepLeftovers(logger: Logger): Promise<void> {
  try {
    const names = await sweepShared();
    if (names.length > 0) logger.info({ names }, 'Removed shared memory of dead processes');
  } catch (error) {
    logger.warn({ err: error }, 'Cannot search for shared memory of dead processes');
  }
}
