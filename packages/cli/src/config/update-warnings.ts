import type { UpdateConfig } from './update-config.ts';

/** Buckets below this cost more in messages than in bytes. */
const SMALL_BUCKET_BYTES = 64 * 2 ** 10;

/** What is allowed but hardly meant. */
export function updateWarnings({ delivery, sleepMs }: UpdateConfig): string[] {
  const warnings: string[] = [];
  const bucketBytes = delivery.updates[0]?.bucketBytes;
  // Numbers below 1000 are most likely meant in another unit, as in PS_MAX_BUCKET_SIZE_GB.
  if (bucketBytes !== undefined && bucketBytes < 1000) {
    warnings.push(
      `--bucket-size is ${bucketBytes} bytes, so that a bucket holds one tensor: write a unit, such as ${bucketBytes}GiB`,
    );
  } else if (bucketBytes !== undefined && bucketBytes < SMALL_BUCKET_BYTES) {
    warnings.push(`--bucket-size is ${bucketBytes} bytes: buckets below 1MiB slow the update down`);
  }
  if (delivery.metasFile !== undefined && sleepMs === 0) {
    warnings.push(
      `--save-metas-file without --sleep-time: the ranks have ended, and nothing can be read with "${delivery.metasFile}"`,
    );
  }
  return warnings;
}
