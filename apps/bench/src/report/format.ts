import { formatBytes } from '@checkpoint-engine/planner';
import type { ResultRow } from './result.ts';
import { median } from './statistics.ts';

/** `312 ms`, `1.04 s`, `85 us`: three significant figures in a suitable unit. */
export function formatMs(ms: number): string {
  if (Number.isNaN(ms)) return '-';
  if (ms >= 1000) return `${figures(ms / 1000)} s`;
  if (ms >= 1) return `${figures(ms)} ms`;
  return `${figures(ms * 1000)} us`;
}

/** A number with three significant figures and no exponent. */
export function figures(value: number): string {
  if (!Number.isFinite(value) || value === 0) return String(value);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

/** Bytes, or a dash without a value. */
export const formatOptionalBytes = (bytes: number | undefined): string =>
  bytes === undefined ? '-' : formatBytes(Math.round(bytes));

/** The rate at the median time, in 1e9 bytes per second. */
export function rateGBps({ sizeBytes, samplesMs }: ResultRow): number | undefined {
  return sizeBytes === undefined || samplesMs.length === 0 ? undefined : sizeBytes / median(samplesMs) / 1e6;
}

/** Floor over median: 1 is as fast as the machine allows. */
export function shareOfFloor({ floorMs, samplesMs }: ResultRow): number | undefined {
  return floorMs === undefined || samplesMs.length === 0 ? undefined : floorMs / median(samplesMs);
}

/** The properties that distinguish a row from similar ones: ranks, buckets, settings. */
export function describeSettings({ ranks, bucketBytes, settings = {} }: ResultRow): string {
  return [
    ranks !== undefined && `${ranks} ${ranks === 1 ? 'rank' : 'ranks'}`,
    bucketBytes !== undefined && `buckets ${formatBytes(bucketBytes)}`,
    ...Object.entries(settings).map(([name, value]) => `${name} ${value}`),
  ]
    .filter(Boolean)
    .join(', ');
}
