import type { Link } from '../engine/link.ts';
import type { LinkUse } from '../result.ts';

/** Links that carry bytes, the most used first. */
export function linkUses(links: readonly Link[], totalMs: number): LinkUse[] {
  return links
    .filter(({ bytes }) => bytes > 0)
    .map(({ kind, name, bytes, bytesPerMs, busyMs }) => ({
      kind,
      name,
      sizeBytes: bytes,
      rateGBps: bytesPerMs / 1e6,
      busyMs,
      utilization: totalMs > 0 ? bytes / bytesPerMs / totalMs : 0,
    }))
    .sort((a, b) => b.utilization - a.utilization);
}
