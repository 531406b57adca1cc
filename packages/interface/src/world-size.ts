/** Maximum number of ranks. Every rank keeps some state for each other rank. */
export const MAX_WORLD_SIZE = 65_536;

/** @throws {RangeError} `worldSize` is not an integer from 1 to {@link MAX_WORLD_SIZE}. */
export function checkWorldSize(worldSize: number): void {
  if (Number.isInteger(worldSize) && worldSize >= 1 && worldSize <= MAX_WORLD_SIZE) return;
  throw new RangeError(`worldSize must be 1 to ${MAX_WORLD_SIZE}, not ${worldSize}`);
}
