/** Returns a clock of the time that is left, in steps of 100 ms so that messages show the time-out of the request. */
export function timeLeft(timeoutMs: number): () => number {
  const endsAtMs = performance.now() + timeoutMs;
  return () => Math.max(100, Math.ceil((endsAtMs - performance.now()) / 100) * 100);
}
