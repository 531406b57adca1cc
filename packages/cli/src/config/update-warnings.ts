import type { UpdateConfig } from './update-config.ts';

/** Below this size, messages cost more than the data. */
const SMALL_BUCKET_BYTES = 64 * 2 ** 10;

/** Finds arguments that are allowed but unlikely to be intended. */
export function updateWarnings({ delivery, sleepMs }: UpdateConfig): string[] {
  const warnings: string[] = [];
  const bucketBytes = delivery.updates[0]?.bucketBytes;
  // A number below 1000 is likely meant in another unit, as in PS_MAX_BUCKET_SIZE_GB.
  if (bucketBytes !== undefined && bucketBytes < 1000) {
    warnings.push(
      `--bucket-size is ${bucketBytes} bytes, so each bucket holds one tensor: write a unit, such as ${bucketBytes}GiB`,
    );
  } else if (bucketBytes !== undefined && bucketBytes < SMALL_BUCKET_BYTES) {
    warnings.push(`--bucket-size is ${bucketBytes} bytes: buckets smaller than 1MiB slow down the update`);
  }
  if (delivery.metasFile !== undefined && sleepMs === 0) {
    warnings.push(
      `--save-metas-file without --sleep-time: the ranks have ended, so "${delivery.metasFile}" cannot be used`,
    );
  }
  return warnings;
}
