import { sweepShared } from '@checkpoint-engine/device';
import { plural } from '../output/format.ts';
import type { Check } from './check.ts';

/** Shared memory of this user whose processes were killed. The check removes it. */
export async function checkLeftovers(): Promise<Check> {
  const about = { id: 'leftovers', title: 'Leftovers' };
  try {
    const names = await sweepShared();
    const value =
      names.length === 0
        ? 'none in /dev/shm'
        : `removed ${plural(names.length, 'piece')} of shared memory of dead processes`;
    return { ...about, status: 'found', value, details: { removed: names } };
  } catch (error) {
    return { ...about, status: 'warning', value: `not checked: ${(error as Error).message}` };
  }
}
