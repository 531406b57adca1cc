import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { RankEvent } from '../process/messages.ts';

/** The version of one inference instance before an update, and after it. */
export interface InstanceVersion {
  /** URL of the instance, or the path of its socket. */
  readonly endpoint: string;
  /** `unknown` if its workers report no version, or different ones. */
  readonly weightVersionBefore: string;
  /** `unknown` until all ranks have confirmed the update. */
  readonly weightVersion: string;
}

/** Tracks the instances that an update sends requests to, and their versions. One rank sends the requests to each. */
export class InstanceVersions {
  readonly #instances = new Map<number, InstanceVersion>();

  /** Takes an event of any rank. */
  note(event: RankEvent): void {
    if (event.type === 'engine' && event.state === 'asked') {
      const { groupIndex, endpoint } = event;
      const before = this.#instances.get(groupIndex)?.weightVersion ?? UNKNOWN_VERSION;
      this.#instances.set(groupIndex, { endpoint, weightVersionBefore: before, weightVersion: UNKNOWN_VERSION });
    } else if (event.type === 'version') {
      const known = this.#instances.get(event.groupIndex);
      if (known === undefined) return;
      const weightVersionBefore = event.before ?? known.weightVersionBefore;
      this.#instances.set(event.groupIndex, { ...known, weightVersionBefore, weightVersion: event.after });
    }
  }

  /** The instances that received a request, by their number. */
  get all(): readonly InstanceVersion[] {
    return [...this.#instances].sort(([a], [b]) => a - b).map(([, instance]) => instance);
  }

  /** Records that an update has failed: it may have written to any instance that received a request. */
  forgetAll(): void {
    for (const [index, one] of this.#instances) this.#instances.set(index, { ...one, weightVersion: UNKNOWN_VERSION });
  }
}
