import type { TraceSpan } from './read-trace.ts';

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Time in which at least one span is open. */
export function busyMs(spans: readonly Pick<TraceSpan, 'fromMs' | 'toMs'>[]): number {
  let [sum, endMs] = [0, Number.NEGATIVE_INFINITY];
  for (const { fromMs, toMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    sum += Math.max(0, toMs - Math.max(endMs, fromMs));
    endMs = Math.max(endMs, toMs);
  }
  return sum;
}

/** Groups spans by a key, in the order of first appearance. */
export function grouped<K>(spans: readonly TraceSpan[], keyOf: (span: TraceSpan) => K): Map<K, TraceSpan[]> {
  const groups = new Map<K, TraceSpan[]>();
  for (const span of spans) {
    const group = groups.get(keyOf(span));
    if (group === undefined) groups.set(keyOf(span), [span]);
    else group.push(span);
  }
  return groups;
}

/** Sum of the bytes. */
export const bytesOf = (spans: readonly TraceSpan[]): number =>
  spans.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
