import type { ProgressEvent } from '../api.ts';
import { type StageOrder, startsOfRounds, threeStages } from './stage-order.ts';
import type { Transfer } from './transfers.ts';

/** Rounds that are not measured at the start of the update, and after each change of the order. */
const SETTLING_ROUNDS = 1;
const MEASURED_ROUNDS = 3;

/**
 * Tries both orders on the first rounds of buckets, and goes on with the one that is chosen by {@link MeasuredOrder.choose};
 * with three stages until then.
 *
 * All ranks make the same trials, since they follow from the plan. One of them decides: broadcasts run in step, so what
 * it measures holds for all. A choice may reach ranks at different times: an order is what one rank keeps for itself.
 */
export class MeasuredOrder implements StageOrder {
  readonly #two: StageOrder;
  readonly #trials: { readonly two: Trial; readonly three: Trial } | undefined;
  readonly #arrivedAtMs: number[] = [];
  readonly #onMeasured: (stages: 2 | 3) => void;
  #chosen: StageOrder | undefined;

  /**
   * @param two        The order of two stages, for the same transfers.
   * @param onMeasured Called once, with the faster one. Never called where there are too few rounds to tell.
   */
  constructor(transfers: readonly Transfer[], two: StageOrder, onMeasured: (stages: 2 | 3) => void) {
    this.#two = two;
    this.#onMeasured = onMeasured;
    const starts = [...startsOfRounds(transfers), transfers.length];
    const sizes = transfers.map(({ bucket }) => bucket.sizeBytes);
    const rounds = SETTLING_ROUNDS + MEASURED_ROUNDS;
    const last = SETTLING_ROUNDS + 2 * rounds;
    if (starts.length <= last) return;
    this.#trials = {
      two: new Trial(SETTLING_ROUNDS, starts, sizes),
      three: new Trial(SETTLING_ROUNDS + rounds, starts, sizes),
    };
  }

  loadAfter(turn: number): number {
    if (this.#trials === undefined) return -1;
    const { two, three } = this.#trials;
    if (turn >= two.firstRound && turn < three.firstRound) return this.#two.loadAfter(turn);
    // Nothing of the second trial is done during the first one.
    if (turn === three.firstRound) return three.start - 1;
    return turn > three.firstRound && this.#chosen ? this.#chosen.loadAfter(turn) : -1;
  }

  broadcastAfter(index: number): number {
    if (this.#trials === undefined) return -1;
    const { two, three } = this.#trials;
    if (index >= two.start && index < three.start) return this.#two.broadcastAfter(index);
    return index >= three.start && this.#chosen ? this.#chosen.broadcastAfter(index) : -1;
  }

  /** Takes the times of broadcasts out of this rank's events. */
  observe(event: ProgressEvent): void {
    if (this.#trials === undefined || event.type !== 'bucket-end' || event.stage !== 'broadcast') return;
    this.#arrivedAtMs[event.bucket] = event.atMs;
    const { two, three } = this.#trials;
    if (event.bucket !== three.end - 1) return;
    this.#onMeasured(two.rate(this.#arrivedAtMs) > three.rate(this.#arrivedAtMs) ? 2 : 3);
  }

  /** What was measured, by this rank or the one that decides. */
  choose(stages: 2 | 3): void {
    this.#chosen = stages === 2 ? this.#two : threeStages;
  }
}

/** Some rounds in one of the orders. */
class Trial {
  readonly firstRound: number;
  /** The first transfer. */
  readonly start: number;
  /** The first transfer after it. */
  readonly end: number;
  /** The first transfer that is measured. */
  readonly #measuredFrom: number;
  readonly #measuredBytes: number;

  constructor(firstRound: number, starts: readonly number[], sizes: readonly number[]) {
    this.firstRound = firstRound;
    this.start = starts[firstRound]!;
    this.#measuredFrom = starts[firstRound + SETTLING_ROUNDS]!;
    this.end = starts[firstRound + SETTLING_ROUNDS + MEASURED_ROUNDS]!;
    this.#measuredBytes = sizes.slice(this.#measuredFrom, this.end).reduce((sum, size) => sum + size, 0);
  }

  /** Bytes a millisecond. */
  rate(arrivedAtMs: readonly number[]): number {
    return this.#measuredBytes / (arrivedAtMs[this.end - 1]! - arrivedAtMs[this.#measuredFrom - 1]!);
  }
}
