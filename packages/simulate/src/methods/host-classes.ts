import { type ParallelLayout, positionOf } from '@checkpoint-engine/planner';
import type { Ranks } from '../check-scenario.ts';
import type { Scenario } from '../scenario.ts';
import { placeOf, type RankPlace } from './steps.ts';

/** Hosts whose ranks keep the same parts of the model. The first of them represents all. */
export interface HostClass {
  /** The host that is simulated. */
  readonly host: number;
  /** Number of hosts. */
  readonly count: number;
  /** Ranks of the simulated host. */
  readonly members: readonly RankPlace[];
}

/** Groups the receiving hosts by the parts that their ranks keep, in the order of their first hosts. */
export function hostClasses({ topology, layout }: Scenario, { receivers, firstReceiver }: Ranks): HostClass[] {
  const hosts = new Map<number, RankPlace[]>();
  for (let rank = firstReceiver; rank < firstReceiver + receivers; rank++) {
    const place = placeOf(rank, topology);
    const members = hosts.get(place.host);
    if (members === undefined) hosts.set(place.host, [place]);
    else members.push(place);
  }
  const classes = new Map<string, HostClass>();
  for (const [host, members] of hosts) {
    const key = members.map(({ rank }) => keyOf(layout, rank - firstReceiver)).join();
    const known = classes.get(key);
    classes.set(key, known === undefined ? { host, count: 1, members } : { ...known, count: known.count + 1 });
  }
  return [...classes.values()];
}

/** Ranks with equal keys keep the same bytes. */
export function keyOf(layout: ParallelLayout, rank: number): string {
  const { stage, tpRank, epRank } = positionOf(layout, rank);
  return `${stage}:${tpRank}:${epRank}`;
}

/**
 * Finds the simulated host that represents an owner, and the load that a read by a class puts on it.
 *
 * All hosts of a class do the same work at the same time, so their reads load their owners evenly: the simulated host's
 * links carry the reads of all hosts of the other classes, divided by the hosts of its own class.
 */
export class OwnerFold {
  readonly #gpusPerHost: number;
  readonly #classOfHost = new Map<number, HostClass>();
  readonly #servingHosts: number;
  readonly #isJoining: boolean;

  constructor({ topology, layout, worldSize }: Scenario, { firstReceiver }: Ranks, classes: readonly HostClass[]) {
    this.#gpusPerHost = topology.gpusPerHost;
    this.#servingHosts = Math.ceil(worldSize / topology.gpusPerHost);
    this.#isJoining = firstReceiver > 0;
    if (this.#isJoining) return;
    const byKey = new Map(classes.map((one) => [one.members.map(({ rank }) => keyOf(layout, rank)).join(), one]));
    for (let host = 0; host < this.#servingHosts; host++) {
      const first = host * topology.gpusPerHost;
      const count = Math.min(topology.gpusPerHost, worldSize - first);
      const key = Array.from({ length: count }, (_, at) => keyOf(layout, first + at)).join();
      this.#classOfHost.set(host, byKey.get(key)!);
    }
  }

  /** The host with the links of an owner, and the weight of a read by the class `reader` on them. */
  ownerOf(
    ownerRank: number,
    reader: HostClass,
  ): { readonly host: number; readonly gpu: number; readonly weight: number } {
    const host = Math.floor(ownerRank / this.#gpusPerHost);
    const gpu = ownerRank % this.#gpusPerHost;
    if (this.#isJoining) return { host: 0, gpu, weight: reader.count / this.#servingHosts };
    const own = this.#classOfHost.get(host)!;
    return { host: own.host, gpu, weight: reader.count / own.count };
  }
}
