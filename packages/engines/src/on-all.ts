import { followSignals } from '@checkpoint-engine/interface/shared';

/**
 * Runs a function for all items at the same time. If one fails, or the signal fires, the others are aborted. Rejects
 * with the first failure after all have ended.
 */
export async function onAll<T, R>(
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const controller = new AbortController();
  const unfollow = followSignals(controller, [signal]);
  const tasks = items.map(async (item) => {
    try {
      return await work(item, controller.signal);
    } catch (error) {
      controller.abort(error);
      throw error;
    }
  });
  try {
    await Promise.allSettled(tasks);
    return await Promise.all(tasks);
  } catch {
    throw controller.signal.reason;
  } finally {
    unfollow();
  }
}
