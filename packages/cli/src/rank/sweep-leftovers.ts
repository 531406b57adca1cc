import { sweepShared } from '@checkpoint-engine/device';
import type { Logger } from '@checkpoint-engine/interface';

/** Removes shared memory that ranks of this user left behind when they were killed. Never rejects. */
export async function sweepLeftovers(logger: Logger): Promise<void> {
  try {
    const names = await sweepShared();
    if (names.length > 0) logger.info({ names }, 'Removed shared memory that dead processes had left behind');
  } catch (error) {
    logger.warn({ err: error }, 'Looking for shared memory of dead processes failed');
  }
}
