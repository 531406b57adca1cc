import type { Memory, Store, WaitOptions } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import type { Ring } from '../sources/ring.ts';
import { MeasuredOrder } from './measured-order.ts';
import { type StageOrder, threeStages, twoStages } from './stage-order.ts';
import type { Transfer } from './transfers.ts';

/** What {@link orderStages} goes by. */
export interface OrderOptions {
  /** @default 3 */
  readonly stages: UpdateOptions['stages'];
  /** Ranks that broadcast to each other. */
  readonly group: readonly number[];
  /** What an earlier update with this group found faster. */
  readonly measuredStages: 2 | 3 | null;
  readonly transfers: readonly Transfer[];
  readonly rank: number;
  /** Buckets are copied into one ring for all ranks by their broadcasts: there is no copy beside them to be put in order. */
  readonly sharesRing: boolean;
  readonly ring: Ring<Memory>;
  readonly staging: Ring | undefined;
  /** The update's. */
  readonly epoch: Store;
  /** Bounds the wait for what another rank measured. */
  readonly waiting: WaitOptions;
  /** Called at the rank that measured for all, to be remembered. */
  readonly onMeasured: (stages: 2 | 3) => void;
}

/** Gives the order that was asked for; `auto` measures in the first update of a world and remembers. */
export function orderStages(options: OrderOptions): StageOrder {
  const { group, measuredStages, transfers, rank, sharesRing, ring, staging, epoch, waiting, onMeasured } = options;
  const [decider] = group;
  const asked = options.stages ?? 3;
  const stages = asked === 'auto' ? (measuredStages ?? 'auto') : asked;
  if (stages === 3 || sharesRing || group.length === 0) return threeStages;
  const own = transfers.flatMap(({ root }, index) => (root === rank ? [index] : []));
  const roomAfter = (turn: number): number =>
    staging === undefined ? ring.after(own[turn]!) : (own[staging.after(turn)] ?? -1);
  const two = twoStages(transfers, rank, roomAfter);
  if (stages === 2) return two;
  const order = new MeasuredOrder(transfers, two, (measured) => {
    if (rank !== decider) return;
    order.choose(measured);
    onMeasured(measured);
    epoch.set(KEY, Uint8Array.of(measured), waiting).catch(() => {});
  });
  if (rank !== decider) {
    const chosen = epoch.wait(KEY, waiting).then(([measured]) => order.choose(measured === 2 ? 2 : 3));
    // The update ends before anything was measured, or fails: then nobody asks any more.
    chosen.catch(() => {});
  }
  return order;
}

const KEY = 'stages';
