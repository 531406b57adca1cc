/**
 * Runs two functions at the same time. If one fails, aborts the other and waits for it.
 *
 * @throws The first failure.
 */
export async function bothOrNone<A, B>(
  signal: AbortSignal,
  work: readonly [(signal: AbortSignal) => Promise<A>, (signal: AbortSignal) => Promise<B>],
): Promise<[A, B]> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const guarded = async <T>(start: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await start(controller.signal);
    } catch (error) {
      controller.abort(error);
      throw error;
    }
  };
  const tasks = [guarded(work[0]), guarded(work[1])] as const;
  try {
    await Promise.allSettled(tasks);
    if (controller.signal.aborted) throw controller.signal.reason;
    return await Promise.all(tasks);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
