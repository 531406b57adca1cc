/** Milliseconds since the epoch, finer than those of `Date`. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
