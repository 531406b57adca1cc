import type { Topology } from '@checkpoint-engine/planner';
import { nicsOf } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import { placeOf } from './steps.ts';

/** Ranks by the NICs that they share, in the format of the planner. */
export function nicTopology(ranks: Iterable<number>, topology: ClusterTopology): Topology {
  const byNic = new Map<string, Set<number>>();
  for (const rank of ranks) {
    const { host, gpu } = placeOf(rank, topology);
    const nic = `${nicsOf(topology, gpu).join(',')}@${host}`;
    const known = byNic.get(nic);
    if (known === undefined) byNic.set(nic, new Set([rank]));
    else known.add(rank);
  }
  return byNic;
}
