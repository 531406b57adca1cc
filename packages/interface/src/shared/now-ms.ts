/** Milliseconds since the epoch with the resolution of a monotonic clock: comparable between processes of a host. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
