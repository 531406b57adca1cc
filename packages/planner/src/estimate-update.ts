import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';
import type { Plan } from './plan.ts';

/** How fast the stages of an update are. 1 GBps is 1e9 bytes a second. */
export interface UpdateRates {
  /** Host to device, of one rank; ranks copy at the same time. */
  readonly h2dGBps: number;
  /** Of one broadcast to all ranks; broadcasts come one after the other. */
  readonly broadcastGBps: number;
  /** Of one engine taking the weights out of the shared buffer; all engines do so at the same time. */
  readonly reloadGBps: number;
  /** Handshake, release, and what else does not depend on the bytes. @default 0 */
  readonly fixedMs?: number | undefined;
}

/** What {@link estimateUpdate} gives. */
export interface UpdateEstimate {
  /** Of the rank that owns most. */
  readonly h2dMs: number;
  /** 0 in a world of one rank. */
  readonly broadcastMs: number;
  readonly reloadMs: number;
  /** With `fixedMs`, and with filling and draining the pipeline. */
  readonly totalMs: number;
  /** The stage that takes longest. */
  readonly boundBy: 'h2d' | 'broadcast' | 'reload';
}

/**
 * Estimates an update whose three stages overlap, with slots enough that none waits for memory.
 *
 * Each owner copies its buckets one after the other, a bucket is broadcast when it is there and the one before it in
 * the plan is out, and reloaded when it has arrived and the one before it is done.
 *
 * @throws {RangeError} A rate is not above 0, or `worldSize` is no positive integer.
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
