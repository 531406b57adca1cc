import type { ProgressEvent } from '../api.ts';
import type { Transfer } from './transfers.ts';

/** Which of one rank's steps wait for which, beside the room in memory and the bytes themselves. */
export interface StageOrder {
  /** The last transfer that has arrived here before this rank's own bucket `turn` is copied to the device; -1 for none. */
  loadAfter(turn: number): number;
  /** This rank's last own bucket that lies on the device before transfer `index` is broadcast; -1 for none. */
  broadcastAfter(index: number): number;
  /** Told of this rank's buckets, where the order depends on how fast they are. */
  observe?(event: ProgressEvent): void;
}

/** All three stages run at the same time. */
export const threeStages: StageOrder = { loadAfter: () => -1, broadcastAfter: () => -1 };

/**
 * The Python tool's order, in two stages: every rank copies its next bucket to the device, then all of them are
 * broadcast while workers reload. Copies and broadcasts share the links in front of the GPUs and never run at the same
 * time; no message is needed for that, since a broadcast waits for every rank anyway.
 *
 * @param roomAfter The last transfer that must be gone before there is room for this rank's own bucket `turn`; -1 for none.
 */
export function twoStages(
  transfers: readonly Transfer[],
  rank: number,
  roomAfter: (turn: number) => number,
): StageOrder {
  const roundStarts = startsOfRounds(transfers);
  const ownCount = transfers.filter(({ root }) => root === rank).length;
  // Where own bucket `turn` is copied: before this transfer and after all that come before it.
  const loads = Array.from({ length: ownCount }, (_, turn) => Math.max(roundStarts[turn]!, roomAfter(turn) + 1));
  const loadedBefore = transfers.map((_, index) => loads.filter((load) => load <= index).length);
  return { loadAfter: (turn) => loads[turn]! - 1, broadcastAfter: (index) => loadedBefore[index]! - 1 };
}

/** For each turn the first transfer with which an owner takes it: there a round of one bucket from every owner starts. */
export function startsOfRounds(transfers: readonly Transfer[]): number[] {
  const turns = new Map<number, number>();
  const starts: number[] = [];
  for (const [index, { root }] of transfers.entries()) {
    const turn = turns.get(root) ?? 0;
    turns.set(root, turn + 1);
    starts[turn] ??= index;
  }
  return starts;
}
