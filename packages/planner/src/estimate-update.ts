import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';
import type { Plan } from './plan.ts';

/** Speed of the stages of an update. 1 GBps is 1e9 bytes per second. */
export interface UpdateRates {
  /** Host-to-device rate of one rank; ranks copy at the same time. */
  readonly h2dGBps: number;
  /** Rate of one broadcast to all ranks; broadcasts run one after another. */
  readonly broadcastGBps: number;
  /** Rate at which one engine takes the weights from the shared buffer; all engines do so at the same time. */
  readonly reloadGBps: number;
  /** Time of the handshake, the release, and other work that does not depend on the bytes. @default 0 */
  readonly fixedMs?: number | undefined;
}

/** Result of {@link estimateUpdate}. */
export interface UpdateEstimate {
  /** Copy time of the rank that owns the most bytes. */
  readonly h2dMs: number;
  /** 0 in a world of one rank. */
  readonly broadcastMs: number;
  readonly reloadMs: number;
  /** Total time, including `fixedMs` and the time to fill and drain the pipeline. */
  readonly totalMs: number;
  /** The stage that takes longest. */
  readonly boundBy: 'h2d' | 'broadcast' | 'reload';
}

/**
 * Estimates an update whose three stages overlap, with enough slots that no stage waits for memory.
 *
 * Each owner copies its buckets one after another. The broadcast of a bucket starts after its copy and after the
 * broadcast of the previous bucket of the plan; its reload starts after its broadcast and after the reload of the
 * previous bucket.
 *
 * @throws {RangeError} A rate is not above 0, or `worldSize` is not a positive integer.
 */
export function estimateUpdate(plan: Plan, rates: UpdateRates, worldSize: number): UpdateEstimate {
  check(rates, worldSize);
  const { h2dGBps, broadcastGBps, reloadGBps, fixedMs = 0 } = rates;
  const copiedAt = new Map<number, number>();
  const stages = { h2d: 0, broadcast: 0, reload: 0 };
  let broadcastAt = 0;
  let reloadedAt = 0;
  for (const { ownerRank, sizeBytes } of plan.buckets) {
    const copied = (copiedAt.get(ownerRank) ?? 0) + milliseconds(sizeBytes, h2dGBps);
    const broadcastMs = worldSize === 1 ? 0 : milliseconds(sizeBytes, broadcastGBps);
    const reloadMs = milliseconds(sizeBytes, reloadGBps);
    copiedAt.set(ownerRank, copied);
    broadcastAt = Math.max(copied, broadcastAt) + broadcastMs;
    reloadedAt = Math.max(broadcastAt, reloadedAt) + reloadMs;
    stages.h2d = Math.max(stages.h2d, copied);
    stages.broadcast += broadcastMs;
    stages.reload += reloadMs;
  }
  return {
    h2dMs: stages.h2d,
    broadcastMs: stages.broadcast,
    reloadMs: stages.reload,
    totalMs: reloadedAt + fixedMs,
    boundBy: longest(stages),
  };
}

function check(rates: UpdateRates, worldSize: number): void {
  checkPositive('h2dGBps', rates.h2dGBps);
  checkPositive('broadcastGBps', rates.broadcastGBps);
  checkPositive('reloadGBps', rates.reloadGBps);
  checkNotNegative('fixedMs', rates.fixedMs ?? 0);
  checkPositiveInteger('worldSize', worldSize);
}

function milliseconds(bytes: number, rateGBps: number): number {
  return bytes / (rateGBps * 1e6);
}

function longest({ h2d, broadcast, reload }: Record<UpdateEstimate['boundBy'], number>): UpdateEstimate['boundBy'] {
  if (h2d >= broadcast && h2d >= reload) return 'h2d';
  return broadcast >= reload ? 'broadcast' : 'reload';
}
