import type { Call, CallContext } from './call.ts';
import type { CallFrame, ReadyFrame } from './frames.ts';
import { type SharedTarget, sameTarget } from './shared-target.ts';

/** Time after which a root announces itself to the others, so that a mistake is detected. */
const patienceMs = 100;

/** A broadcast into shared memory at its root: fills the range once every peer has allowed it. */
export class FillCall implements Call {
  /** Resolves when the range holds the bytes and peers have been notified. */
  readonly written: Promise<void>;
  readonly #call: number;
  readonly #context: CallContext;
  readonly #target: SharedTarget;
  readonly #missing: Set<number>;
  #allReady: () => void = () => {};

  /** @param mayWrite Resolves when this member no longer uses the range. */
  constructor(
    call: number,
    context: CallContext,
    target: SharedTarget,
    fill: () => Promise<void>,
    mayWrite: Promise<void>,
  ) {
    this.#call = call;
    this.#context = context;
    this.#target = target;
    this.#missing = new Set(context.peers.keys());
    const ready = new Promise<void>((resolve) => {
      this.#allReady = resolve;
    });
    if (this.#missing.size === 0) this.#allReady();
    const timer = setTimeout(() => this.#send({ type: 'root', call }), patienceMs);
    const allReady = context.fuse.guard(ready).finally(() => clearTimeout(timer));
    allReady.catch(() => {}); // `written` reports it.
    this.written = mayWrite.then(() => allReady).then(() => this.#fill(fill));
  }

  accept(from: number, frame: CallFrame): void {
    if (frame.type !== 'ready') {
      throw new RangeError(
        `Broadcast ${this.#call}: the call of rank ${from} differs from that of its root ${this.#context.rank}`,
      );
    }
    const difference = sameTarget(this.#target, frame);
    if (difference !== undefined) throw new RangeError(`Broadcast ${this.#call}: rank ${from} ${difference}`);
    this.#missing.delete(from);
    if (this.#missing.size === 0) this.#allReady();
  }

  async #fill(fill: () => Promise<void>): Promise<void> {
    if (this.#context.fuse.error) throw this.#context.fuse.error;
    await fill();
    this.#send({ type: 'filled', call: this.#call });
  }

  #send(frame: Exclude<CallFrame, ReadyFrame>): void {
    for (const peer of this.#context.peers.values()) peer.send(frame);
  }
}
