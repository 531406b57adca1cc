/**
 * Maps with at most `limit` calls at a time. The first error in the order of `items`, not of time, is thrown, and only
 * when no call is pending any more; after an error no new call is started.
 */
export async function mapBounded<T, R>(items: readonly T[], limit: number, map: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const failures: { readonly index: number; readonly error: unknown }[] = [];
  const run = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        results[index] = await map(items[index]!);
      } catch (error) {
        failures.push({ index, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, run));
  // Calls start in order, so every item before the failed one has been tried.
  const [first] = failures.sort((a, b) => a.index - b.index);
  if (first !== undefined) throw first.error;
  return results;
}
