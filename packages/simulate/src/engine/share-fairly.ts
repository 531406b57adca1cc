import type { Flow, Link } from './link.ts';

/**
 * Divides the capacity of links among flows by progressive filling: all rates rise together until a link is full; its
 * flows keep their rates, and the others continue. The result is in `nextBytesPerMs` of the flows.
 *
 * A flow that loads a link with weight w takes w times its rate there.
 *
 * @param links All links of the paths of `flows`; they carry no other flows.
 */
export function shareFairly(links: readonly Link[], flows: readonly Flow[], linkAt: (index: number) => Link): void {
  for (const link of links) {
    link.leftBytesPerMs = link.bytesPerMs;
    link.openWeight = 0;
    link.openFlows = link.flows.size;
  }
  for (const flow of flows) {
    flow.nextBytesPerMs = -1;
    for (const [index, weight] of flow.path) linkAt(index).openWeight += weight;
  }
  for (let open = flows.length; open > 0; ) {
    const [full, bytesPerMs] = fullestOf(links);
    for (const flow of full.flows) {
      if (flow.nextBytesPerMs >= 0) continue;
      flow.nextBytesPerMs = bytesPerMs;
      open -= 1;
      for (const [index, weight] of flow.path) {
        const link = linkAt(index);
        link.leftBytesPerMs = Math.max(0, link.leftBytesPerMs - bytesPerMs * weight);
        link.openWeight -= weight;
        link.openFlows -= 1;
      }
    }
  }
}

/** The link that fills up first, and the rate of its open flows at that point. */
function fullestOf(links: readonly Link[]): readonly [Link, number] {
  let fullest: Link | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const link of links) {
    if (link.openFlows === 0) continue;
    // Weights are summed and subtracted again, so a rounding error may remain.
    const share = link.leftBytesPerMs / Math.max(link.openWeight, Number.MIN_VALUE);
    if (share < least || (share === least && fullest !== undefined && link.index < fullest.index)) {
      least = share;
      fullest = link;
    }
  }
  if (fullest === undefined) throw new Error('A flow uses no link of its component');
  return [fullest, least];
}
