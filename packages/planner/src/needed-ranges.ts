import type { Needs } from '@checkpoint-engine/interface';

/** A rank and the part of a range that it needs. */
export interface RangeUser {
  readonly rank: number;
  readonly fromBytes: number;
  readonly toBytes: number;
}

/** A contiguous run of bytes of one tensor that at least one rank needs. */
export interface NeededRange {
  readonly tensor: number;
  readonly fromBytes: number;
  readonly toBytes: number;
  /** The runs of all ranks in this range. */
  readonly users: readonly RangeUser[];
}

/**
 * Merges the ranges that ranks need, by tensor. Each byte appears once, and the resulting runs do not touch.
 *
 * @param ownerOf The owner of each tensor; tensors with -1 are left out.
 */
export function* neededRanges(
  ownerOf: Int32Array,
  needs: ReadonlyMap<number, Needs>,
  gapBytes: number,
): Generator<NeededRange> {
  const { starts, order, runs } = sortedRuns(ownerOf, needs, gapBytes);
  for (let tensor = 0; tensor < ownerOf.length; tensor++) {
    const own = order.subarray(starts[tensor], starts[tensor + 1]);
    if (own.length === 0) continue;
    own.sort((a, b) => runs.fromBytes[a]! - runs.fromBytes[b]!);
    let users: RangeUser[] = [];
    let fromBytes = -1;
    let toBytes = -1;
    for (const run of own) {
      const user = { rank: runs.rank[run]!, fromBytes: runs.fromBytes[run]!, toBytes: runs.toBytes[run]! };
      if (user.fromBytes > toBytes && users.length > 0) {
        yield { tensor, fromBytes, toBytes, users };
        users = [];
      }
      if (users.length === 0) fromBytes = user.fromBytes;
      toBytes = users.length === 0 ? user.toBytes : Math.max(toBytes, user.toBytes);
      users.push(user);
    }
    yield { tensor, fromBytes, toBytes, users };
  }
}

interface Runs {
  readonly tensor: Uint32Array;
  readonly rank: Int32Array;
  readonly fromBytes: Float64Array;
  readonly toBytes: Float64Array;
}

/** All runs, and the order that groups them by tensor: `order[starts[tensor]]` up to the start of the next tensor. */
function sortedRuns(
  ownerOf: Int32Array,
  needs: ReadonlyMap<number, Needs>,
  gapBytes: number,
): { starts: Uint32Array; order: Uint32Array; runs: Runs } {
  const starts = new Uint32Array(ownerOf.length + 1);
  let count = 0;
  for (const own of needs.values()) count += countRuns(ownerOf, own, gapBytes);
  const runs: Runs = {
    tensor: new Uint32Array(count),
    rank: new Int32Array(count),
    fromBytes: new Float64Array(count),
    toBytes: new Float64Array(count),
  };
  let next = 0;
  for (const [rank, { tensor, offsetBytes, rows, rowBytes, pitchBytes }] of needs) {
    for (let at = 0; at < tensor.length; at++) {
      if (ownerOf[tensor[at]!]! < 0) continue;
      const isOneRun = pitchBytes[at]! - rowBytes[at]! <= gapBytes;
      const runCount = isOneRun ? 1 : rows[at]!;
      const sizeBytes = isOneRun ? (rows[at]! - 1) * pitchBytes[at]! + rowBytes[at]! : rowBytes[at]!;
      for (let run = 0; run < runCount; run++) {
        runs.tensor[next] = tensor[at]!;
        runs.rank[next] = rank;
        runs.fromBytes[next] = offsetBytes[at]! + run * pitchBytes[at]!;
        runs.toBytes[next] = runs.fromBytes[next]! + sizeBytes;
        starts[tensor[at]! + 1]! += 1;
        next += 1;
      }
    }
  }
  for (let tensor = 0; tensor < ownerOf.length; tensor++) starts[tensor + 1]! += starts[tensor]!;
  const heads = starts.slice();
  const order = new Uint32Array(count);
  for (let run = 0; run < count; run++) order[heads[runs.tensor[run]!]!++] = run;
  return { starts, order, runs };
}

function countRuns(ownerOf: Int32Array, { tensor, rows, rowBytes, pitchBytes }: Needs, gapBytes: number): number {
  let count = 0;
  for (let at = 0; at < tensor.length; at++) {
    if (ownerOf[tensor[at]!]! < 0) continue;
    count += pitchBytes[at]! - rowBytes[at]! <= gapBytes ? 1 : rows[at]!;
  }
  return count;
}
