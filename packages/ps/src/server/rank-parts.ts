import { hostname } from 'node:os';
import { type P2PEndpoint, silentLogger } from '@checkpoint-engine/interface';
import type { ParameterServerOptions } from '../api.ts';
import { BroadcastLinks } from '../update/broadcast-links.ts';
import { PlanCache } from '../update/plan-cache.ts';
import { PullKeeper } from '../update/pull-keeper.ts';
import { RingKeeper } from '../update/ring-keeper.ts';
import type { RankParts } from '../update/update-context.ts';
import { UpdateCounter } from '../update/update-counter.ts';
import { WorkerPace } from '../update/worker-pace.ts';
import { v1Protocol } from '../v1/index.ts';

/** Creates what a rank keeps from update to update. */
export function createRankParts(
  options: ParameterServerOptions,
  endpoint: P2PEndpoint | undefined,
  retirePools: () => void,
): RankParts {
  const { store, device, broadcast, p2p, logger = silentLogger, host = hostname(), nics = [] } = options;
  const { protocol = v1Protocol(), memFraction, maxBucketBytes } = options;
  return {
    ...{ device, store, logger, host, nics, protocol, memFraction, maxBucketBytes, retirePools },
    p2p: p2p && endpoint && { name: p2p.name, supports: p2p.supports, endpoint },
    links: new BroadcastLinks({ transport: broadcast, device, store }),
    rings: new RingKeeper(device),
    pulls: new PullKeeper(),
    plans: new PlanCache(),
    pace: new WorkerPace(),
    updates: new UpdateCounter(),
  };
}

/** Frees the memory that updates passed through. */
export async function releaseBuffers({ rings, pulls }: RankParts): Promise<void> {
  rings.close();
  await pulls.release();
}
