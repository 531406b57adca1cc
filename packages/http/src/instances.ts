import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { InstanceAnswer } from './world.ts';

/** The weights of an inference instance before it may have been written to. */
export interface HeldWeights {
  readonly checkpoint: string;
  readonly weightVersion: string;
  readonly updateId: string;
  /** Milliseconds since the epoch. */
  readonly confirmedAtMs: number;
}

/** The known state of the weights of one inference instance. */
export interface InstanceView extends Partial<HeldWeights> {
  /** URL of the instance, or the path of its socket. */
  readonly endpoint: string;
  /**
   * `current`: all ranks of the update that brought the version have confirmed it. `unknown`: an update is in progress
   * or has failed, and the instance may hold old and new weights; or no update of this server has reached it, and its
   * workers do not report their version.
   */
  readonly state: 'current' | 'unknown';
  /** Version that the instance holds; `unknown` in that state. */
  readonly weightVersion: string;
  /** The reason why the version is unknown, or the source of a version that no update of this server has set. */
  readonly reason?: string | undefined;
  /** The last confirmed weights, if the instance may have others. */
  readonly last?: HeldWeights | undefined;
}

/** Maximum number of instances in memory. Clients can refer to instances by any URL, so there is a limit. */
const MAX_INSTANCES = 1_000;

/** Remembers the version of each inference instance. */
export class Instances {
  readonly #instances = new Map<string, InstanceView>();
  readonly #own: ReadonlySet<string>;

  /** @param endpoints Instances that exist from the start, with unknown versions. */
  constructor(endpoints: readonly string[] = []) {
    this.#own = new Set(endpoints);
    for (const endpoint of endpoints) this.forget(endpoint, 'No update of this server has reached it yet');
  }

  /** All instances, the most recently changed last. */
  get all(): readonly InstanceView[] {
    return [...this.#instances.values()];
  }

  /** The version of an instance. */
  versionOf(endpoint: string): string {
    return this.#instances.get(endpoint)?.weightVersion ?? UNKNOWN_VERSION;
  }

  /** The instance may hold old and new weights from now on. */
  forget(endpoint: string, reason: string): void {
    const before = this.#instances.get(endpoint);
    const last = before && heldBy(before);
    this.#set({ endpoint, state: 'unknown', weightVersion: UNKNOWN_VERSION, reason, ...(last && { last }) });
  }

  /** The instance reports what it holds: another server may have updated it, or it was restarted. */
  learn({ endpoint, weightVersion, checkpoint }: InstanceAnswer): void {
    const known = this.#instances.get(endpoint);
    if (weightVersion === undefined || weightVersion === this.versionOf(endpoint)) return;
    if (weightVersion === UNKNOWN_VERSION) {
      this.forget(
        endpoint,
        'Its workers hold weights that do not come from a completed update: it may have been restarted',
      );
      return;
    }
    const last = known && heldBy(known);
    const reason = 'Its workers report this version; it does not come from this server';
    this.#set({
      endpoint,
      state: 'current',
      weightVersion,
      reason,
      ...(checkpoint && { checkpoint }),
      ...(last && { last }),
    });
  }

  /** All ranks have confirmed these weights. */
  confirm(endpoint: string, held: HeldWeights): void {
    this.#set({ endpoint, state: 'current', ...held });
  }

  #set(instance: InstanceView): void {
    this.#instances.delete(instance.endpoint);
    this.#instances.set(instance.endpoint, instance);
    if (this.#instances.size <= Math.max(MAX_INSTANCES, this.#own.size)) return;
    const oldest = [...this.#instances.keys()].find((endpoint) => !this.#own.has(endpoint));
    if (oldest !== undefined) this.#instances.delete(oldest);
  }
}

function heldBy({ checkpoint, weightVersion, updateId, confirmedAtMs, last }: InstanceView): HeldWeights | undefined {
  if (checkpoint === undefined || updateId === undefined || confirmedAtMs === undefined) return last;
  return { checkpoint, weightVersion, updateId, confirmedAtMs };
}
