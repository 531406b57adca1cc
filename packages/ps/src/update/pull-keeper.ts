import type { HostMemory, Needs } from '@checkpoint-engine/interface';
import type { RegionHold } from '../pull-channel.ts';
import type { HostPlan } from './host-plan.ts';

const MAX_NEEDS = 64;
/** Servers alternate between a few checkpoints, and workers keep as many layouts mapped. */
const MAX_PLANS = 4;

/** State that outlives a pull: plans, needs, the ring, and workers that keep regions mapped. */
export class PullKeeper {
  readonly #needs = new Map<string, Needs>();
  readonly #holds = new Set<RegionHold>();
  /** By key, with the plan that was used last at the end. */
  readonly #plans = new Map<string, HostPlan>();
  #ring: HostMemory | undefined;

  /** Digests of the needs in memory. */
  get knownNeeds(): readonly string[] {
    return [...this.#needs.keys()];
  }

  /** Returns the needs with this digest. */
  needsOf(digest: string): Needs | undefined {
    return this.#needs.get(digest);
  }

  /** Stores needs and removes the oldest ones. */
  remember(digest: string, needs: Needs): void {
    this.#needs.delete(digest);
    this.#needs.set(digest, needs);
    for (const old of this.#needs.keys()) {
      if (this.#needs.size <= MAX_NEEDS) return;
      this.#needs.delete(old);
    }
  }

  /** Returns the plan for this key, and creates it the first time. */
  plan(key: string, make: () => HostPlan): HostPlan {
    const plan = this.#plans.get(key) ?? make();
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    for (const old of this.#plans.keys()) {
      if (this.#plans.size <= MAX_PLANS) break;
      this.#plans.delete(old);
    }
    return plan;
  }

  /** A ring of this size from a successful update, if there is one. */
  takeRing(sizeBytes: number): HostMemory | undefined {
    const ring = this.#ring;
    this.#ring = undefined;
    if (ring?.sizeBytes === sizeBytes) return ring;
    discard(ring);
    return undefined;
  }

  /** Ends the use of a ring. It is kept only if no worker can read it any more. */
  releaseRing(ring: HostMemory, isSound: boolean): void {
    discard(this.#ring);
    this.#ring = undefined;
    if (isSound) this.#ring = ring;
    else discard(ring);
  }

  /** Registers a worker that keeps regions mapped. */
  hold(hold: RegionHold | undefined): void {
    if (hold === undefined) return;
    this.#holds.add(hold);
    void hold.closed.then(() => this.#holds.delete(hold));
  }

  /** Makes all workers unmap their regions, and frees the ring. Idempotent. */
  async release(): Promise<void> {
    await Promise.all([...this.#holds].map((hold) => hold.end()));
    discard(this.#ring);
    this.#ring = undefined;
  }
}

/** Workers may keep it mapped for a while. */
function discard(ring: HostMemory | undefined): void {
  if (ring === undefined) return;
  if ('discard' in ring && typeof ring.discard === 'function') ring.discard();
  else ring.close();
}
