import { createHash } from 'node:crypto';
import type { HostMemory, PullRegion } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { PullLayout } from '../pull-channel.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import type { HostAgreement } from './agree-on-pull.ts';
import { handleOf } from './region-handles.ts';

/** The regions that this rank's worker maps, and the ring that this rank reads into. */
export interface SharedRings {
  readonly layout: PullLayout;
  /** The region of a rank's ring. */
  readonly regionOf: ReadonlyMap<number, number>;
  readonly ring: HostMemory | undefined;
  /** No worker reads the ring any more: the next update can use it. */
  keep(): void;
}

/** Allocates this rank's ring, if it reads anything, and exchanges the handles of the rings on this host. */
export async function shareRings(run: UpdateRun, { scope, plan }: HostAgreement): Promise<SharedRings> {
  const { context, cleanup, waiting } = run;
  const { device, pulls } = context;
  const { pools, places, ringBytes } = plan;
  let ring: HostMemory | undefined;
  let isSound = false;
  const handles = new Map<number, Uint8Array>();
  if (plan.ringBytes.size > 0) {
    const produce = async (): Promise<Uint8Array> => {
      const bytes = ringBytes.get(scope.rank);
      if (bytes === undefined) return encode(null);
      const taken = pulls.takeRing(bytes) ?? (await device.allocateHost(bytes, { shared: true }));
      ring = taken;
      cleanup.defer(() => pulls.releaseRing(taken, isSound));
      return encode(handleOf(taken)!);
    };
    const replies = await exchange(scope, 'rings', produce, waiting);
    for (const [at, rank] of scope.members.entries()) {
      const handle = decodeFromRank<Uint8Array | null>(replies[at]!);
      if (handle !== null) handles.set(rank, handle);
    }
  }
  const regionOf = new Map<number, number>();
  const rings = [...handles].map(([rank, handle], at): PullRegion => {
    regionOf.set(rank, pools.length + at);
    return { id: pools.length + at, handle, sizeBytes: ringBytes.get(rank)! };
  });
  const hash = createHash('sha256').update(plan.digest);
  for (const { id, handle, sizeBytes } of rings) hash.update(`${id}:${sizeBytes}:`).update(handle);
  const digest = hash.digest('hex').slice(0, 32);
  return {
    layout: { digest, regions: [...pools, ...rings], places },
    regionOf,
    ring,
    keep: () => {
      isSound = true;
    },
  };
}
