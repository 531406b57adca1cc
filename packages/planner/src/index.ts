/**
 * Bucket plans for weight updates: which rank owns each tensor, how large buckets are, which tensors travel together
 * and in which order, which rank reads them over the network, and how long the update should take. The functions are
 * pure: equal input gives equal output on every rank, so ranks need not send each other their plans.
 *
 * @packageDocumentation
 */

export { type Affinity, affinityOf, orderByAffinity } from './affinity.ts';
export { affinityKey } from './affinity-key.ts';
export { alignDown, alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
export * from './assign-pull-readers.ts';
export * from './assign-receiver-ranks.ts';
export * from './balance-by-bytes.ts';
export * from './bucket-layout.ts';
export * from './bucket-ranges.ts';
export type * from './bucket-sizing.ts';
export * from './bucket-tensors.ts';
export * from './check-unique-tensors.ts';
export * from './estimate-update.ts';
export { formatBytes } from './format-bytes.ts';
export * from './layout/index.ts';
export * from './measure-metas.ts';
export * from './needed-bytes.ts';
export * from './parse-size.ts';
export * from './place-in-ring.ts';
export type * from './plan.ts';
export * from './plan-buckets.ts';
export * from './plan-host.ts';
export * from './plan-pull.ts';
export * from './plan-summary.ts';
export * from './prefer-bucket-size.ts';
export * from './size-buckets.ts';
export * from './size-update.ts';
export * from './split-groups.ts';
export type * from './transfer.ts';
