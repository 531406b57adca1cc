import type { EngineEvent } from './world.ts';

/** What is known of the weights of one inference instance. */
export interface InstanceView {
  /** Where it listens: its URL, or the path of its socket. */
  readonly endpoint: string;
  /** `unknown`: an update is under way or failed, and the instance may hold old and new weights. */
  readonly state: 'current' | 'unknown';
  /** The checkpoint that it acknowledged last. */
  readonly checkpoint?: string | undefined;
  readonly weightVersion?: string | undefined;
  readonly updateId?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly acknowledgedAtMs?: number | undefined;
}

/** Remembers which version each inference instance acknowledged. */
export class Instances {
  readonly #instances = new Map<string, InstanceView>();

  get all(): readonly InstanceView[] {
    return [...this.#instances.values()];
  }

  note(
    { state, endpoint, atMs }: EngineEvent,
    update: { readonly id: string; readonly checkpoint: string; readonly weightVersion?: string | undefined },
  ): void {
    const { checkpoint, weightVersion, id: updateId } = update;
    const before = this.#instances.get(endpoint);
    this.#instances.set(
      endpoint,
      state === 'asked'
        ? { ...before, endpoint, state: 'unknown' }
        : { endpoint, state: 'current', checkpoint, weightVersion, updateId, acknowledgedAtMs: atMs },
    );
  }
}
