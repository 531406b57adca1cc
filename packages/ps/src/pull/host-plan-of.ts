import { createHash } from 'node:crypto';
import type { Needs, Places, PullRegion } from '@checkpoint-engine/interface';
import { planHost } from '@checkpoint-engine/planner';
import type { Proposal } from '../update/agreement.ts';
import type { HostPlan } from '../update/host-plan.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import { topologyOf } from '../update/transfers.ts';
import type { UpdateContext } from '../update/update-context.ts';
import type { Offer } from './offer.ts';
import { isHere } from './refusal.ts';
import { has } from './tensor-set.ts';

/** The inputs of {@link hostPlanOf}. */
export interface HostPlanInput {
  readonly context: Pick<UpdateContext, 'metas' | 'isForeign' | 'host' | 'metasDigest'>;
  /** Offers of all ranks. */
  readonly proposals: ReadonlyMap<number, Pick<Proposal, 'host' | 'nics'>>;
  readonly offers: ReadonlyMap<number, Pick<Offer, 'handles' | 'hostMemoryBytes' | 'provesParts' | 'rest'>>;
  /** The ranks of this host. */
  readonly needs: ReadonlyMap<number, Needs>;
  readonly bucketBytes: number | undefined;
}

/** Returns the plan for the pools and rings of this rank's host. */
export function hostPlanOf({ context, proposals, offers, needs, bucketBytes }: HostPlanInput): HostPlan {
  const { metas, isForeign, host, metasDigest } = context;
  const { sizesBytes } = tensorsByName(metas);
  const { pools, places, ownerOf } = poolsHere(context, offers);
  const here = [...proposals].filter(([, proposal]) => proposal.host === host);
  const transfers = planHost({
    ...{ ownerOf, needs, bucketBytes },
    compared: new Map(here.flatMap(([rank]) => wholeRest(rank, offers, sizesBytes))),
    hostMemoryBytes: here.flatMap(([rank]) => offers.get(rank)!.hostMemoryBytes ?? []),
    readers: {
      local: new Set(isForeign ? [] : here.map(([rank]) => rank)),
      localTopology: topologyOf(here),
      remoteTopology: topologyOf(metas.map((holder) => [holder.rank, holder])),
    },
  });
  const hash = createHash('sha256').update(metasDigest);
  for (const { handle, sizeBytes } of pools) hash.update(`${sizeBytes}:`).update(handle);
  return { pools, places, ownerOf, ...transfers, digest: hash.digest('hex').slice(0, 32) };
}

/** The pools of this host that workers can map, the tensors in them, and the owners of all other tensors. */
function poolsHere(
  context: HostPlanInput['context'],
  offers: HostPlanInput['offers'],
): Pick<HostPlan, 'pools' | 'places' | 'ownerOf'> {
  const { metas, holders, sizesBytes } = tensorsByName(context.metas);
  const pools: PullRegion[] = [];
  const ids = new Map<string, number>();
  for (const holder of context.metas) {
    if (!isHere(holder, context)) continue;
    for (const [at, handle] of (offers.get(holder.rank)?.handles ?? []).entries()) {
      if (handle === null || handle === undefined) continue;
      ids.set(`${holder.rank}:${at}`, pools.length);
      pools.push({ id: pools.length, handle, sizeBytes: holder.regions[at]!.sizeBytes });
    }
  }
  const poolOf = (index: number): number | undefined =>
    isHere(holders[index]!, context) ? ids.get(`${holders[index]!.rank}:${metas[index]!.region}`) : undefined;
  const ownerOf = Int32Array.from(metas, (_, index) => (poolOf(index) === undefined ? holders[index]!.rank : -1));
  const pooled = [...ownerOf.keys()].filter((index) => ownerOf[index] === -1);
  const places: Places = {
    tensor: Uint32Array.from(pooled),
    tensorOffsetBytes: new Float64Array(pooled.length),
    sizeBytes: Float64Array.from(pooled, (index) => sizesBytes[index]!),
    region: Uint32Array.from(pooled, (index) => poolOf(index)!),
    offsetBytes: Float64Array.from(pooled, (index) => metas[index]!.offsetBytes),
  };
  return { pools, places, ownerOf };
}

/** The tensors that a rank's worker compares: each tensor that it loaded, completely. */
function wholeRest(
  rank: number,
  offers: HostPlanInput['offers'],
  sizesBytes: Float64Array,
): [rank: number, needs: Needs][] {
  const { provesParts, rest } = offers.get(rank)!;
  if (!provesParts) return [];
  const tensors = [...sizesBytes.keys()].filter((index) => has(rest, index) && sizesBytes[index]! > 0);
  const sizes = Float64Array.from(tensors, (index) => sizesBytes[index]!);
  const needs = {
    tensor: Uint32Array.from(tensors),
    offsetBytes: new Float64Array(tensors.length),
    rows: new Float64Array(tensors.length).fill(1),
    ...{ rowBytes: sizes, pitchBytes: sizes, rest: new Uint32Array(0) },
  };
  return [[rank, needs]];
}
