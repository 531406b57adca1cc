import { type Bucket, type BucketSizing, type Plan, sizeUpdate } from '@checkpoint-engine/planner';
import type { UpdateOptions } from '../api.ts';
import type { Agreement } from './agreement.ts';
import type { Roles } from './roles.ts';
import { type BucketTransfer, planTransfers } from './transfers.ts';
import type { UpdateContext } from './update-context.ts';
import { dearest } from './worker-pace.ts';

/** The transfers of an update, seen from one rank. */
export interface PlannedUpdate {
  readonly plan: Plan;
  readonly sizing: BucketSizing;
  /** In the order of their execution. */
  readonly transfers: readonly BucketTransfer[];
  /** Those that this rank sends to the others. */
  readonly ownBuckets: readonly Bucket[];
}

/** Plans an update. @throws `CE_PLAN_MEMORY_TOO_SMALL`, `CE_PLAN_NO_RECEIVER` */
export function planUpdate(
  context: UpdateContext,
  options: UpdateOptions,
  roles: Roles,
  { proposals }: Agreement,
): PlannedUpdate {
  const { metas, metasDigest, isForeign, links, store } = context;
  const { hostAddressable } = context.device.supports;
  const users = [...proposals].filter(([rank]) => roles.receivers.includes(rank) || roles.group.includes(rank));
  const sizing = sizeUpdate(metas, {
    hostAddressable,
    outOfPlace: links.outOfPlace,
    freeBytes: Math.min(...users.map(([, { freeBytes }]) => freeBytes)),
    memberCount: Math.max(1, roles.group.length),
    // On a GPU, reads run ahead through host memory instead.
    readsIntoRing: roles.reads && hostAddressable,
    reload: dearest([...proposals.values()].map(({ reload }) => reload)),
    bucketBytes: options.bucketBytes,
    maxBucketBytes: context.maxBucketBytes,
    deviceMemoryBytes: options.deviceMemoryBytes,
    memFraction: context.memFraction,
  });
  const plan = context.plans.get(metas, metasDigest, sizing);
  const transfers = planTransfers({ plan, roles, metas, isForeign, proposals, rank: store.rank });
  const { grown, reason } = sizing;
  const { rank } = store;
  if (grown && (roles.receivers.includes(rank) || roles.group.includes(rank))) {
    context.logger.warn({ rank, checkpoint: context.checkpoint }, reason);
  }
  const ownBuckets = transfers.flatMap(({ bucket, readerRank }) => (readerRank === store.rank ? [bucket] : []));
  return { plan, sizing, transfers, ownBuckets };
}
