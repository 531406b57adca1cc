/**
 * Maps items with at most `limit` calls at a time. Throws the error of the first failed item in the order of `items`,
 * not in time, once no call is pending. After an error it starts no further calls.
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
  // Calls start in order, so every item before the failed one has started.
  const [first] = failures.sort((a, b) => a.index - b.index);
  if (first !== undefined) throw first.error;
  return results;
}
