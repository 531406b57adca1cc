import type { Flow, Link, LinkKind, Path } from './link.ts';
import { shareFairly } from './share-fairly.ts';

/** Schedules `run` at a time. */
export type Schedule = (atMs: number, run: () => void) => void;

/**
 * Flows that share links by max-min fairness: no flow can be faster without slowing down one that is not faster. Rates
 * change when a flow begins or ends; {@link settle} brings them up to date once all events of a time have run.
 */
export class FairNetwork {
  readonly links: Link[] = [];
  readonly #schedule: Schedule;
  readonly #changed = new Set<Link>();
  #nowMs = 0;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  addLink(kind: LinkKind, name: string, rateGBps: number): number {
    const index = this.links.length;
    const bytesPerMs = rateGBps * 1e6;
    const load = { bytes: 0, busyMs: 0, busySinceMs: 0, leftBytesPerMs: 0, openWeight: 0, openFlows: 0 };
    this.links.push({ index, kind, name, bytesPerMs, flows: new Set(), ...load });
    return index;
  }

  start(nowMs: number, path: Path, sizeBytes: number, onEnd: () => void): void {
    this.#nowMs = nowMs;
    const rates = { bytesPerMs: 0, nextBytesPerMs: -1, updatedMs: nowMs, version: 0 };
    const flow: Flow = { path, sizeBytes, leftBytes: sizeBytes, ...rates, onEnd };
    for (const [index] of path) {
      const link = this.links[index]!;
      if (link.flows.size === 0) link.busySinceMs = nowMs;
      link.flows.add(flow);
      this.#changed.add(link);
    }
  }

  /** Computes the rates of all flows that a change since the last call can have affected. */
  settle(nowMs: number): void {
    this.#nowMs = nowMs;
    const seen = new Set<Link>();
    for (const link of this.#changed) {
      if (!seen.has(link)) this.#settleComponent(link, seen);
    }
    this.#changed.clear();
  }

  #settleComponent(first: Link, seen: Set<Link>): void {
    const links: Link[] = [];
    const flows: Flow[] = [];
    const found = new Set<Flow>();
    seen.add(first);
    const queue = [first];
    for (let link = queue.pop(); link !== undefined; link = queue.pop()) {
      links.push(link);
      for (const flow of link.flows) {
        if (found.has(flow)) continue;
        found.add(flow);
        flows.push(flow);
        for (const [index] of flow.path) {
          const other = this.links[index]!;
          if (seen.has(other)) continue;
          seen.add(other);
          queue.push(other);
        }
      }
    }
    shareFairly(links, flows, (index) => this.links[index]!);
    for (const flow of flows) this.#setRate(flow, flow.nextBytesPerMs);
  }

  #setRate(flow: Flow, bytesPerMs: number): void {
    if (bytesPerMs === flow.bytesPerMs) return;
    flow.leftBytes = Math.max(0, flow.leftBytes - (this.#nowMs - flow.updatedMs) * flow.bytesPerMs);
    flow.updatedMs = this.#nowMs;
    flow.bytesPerMs = bytesPerMs;
    flow.version += 1;
    const { version } = flow;
    const endMs = this.#nowMs + flow.leftBytes / bytesPerMs;
    this.#schedule(endMs, () => {
      if (flow.version === version) this.#end(flow, endMs);
    });
  }

  #end(flow: Flow, nowMs: number): void {
    flow.version += 1;
    for (const [index, weight] of flow.path) {
      const link = this.links[index]!;
      link.bytes += flow.sizeBytes * weight;
      link.flows.delete(flow);
      if (link.flows.size === 0) link.busyMs += nowMs - link.busySinceMs;
      this.#changed.add(link);
    }
    flow.onEnd();
  }
}
