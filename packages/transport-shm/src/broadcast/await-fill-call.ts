import type { Call, CallContext } from './call.ts';
import type { CallFrame, ReadyFrame } from './frames.ts';
import type { SharedTarget } from './shared-target.ts';

/** A broadcast into shared memory at a receiver: allows the root to write the range, and waits until it has. */
export class AwaitFillCall implements Call {
  /** Resolves when the range holds the bytes. */
  readonly written: Promise<void>;
  readonly #call: number;
  readonly #context: CallContext;
  readonly #root: number;
  #filled: () => void = () => {};

  /** @param mayWrite Resolves when this member no longer uses the range. */
  constructor(call: number, context: CallContext, root: number, target: SharedTarget, mayWrite: Promise<void>) {
    this.#call = call;
    this.#context = context;
    this.#root = root;
    const filled = new Promise<void>((resolve) => {
      this.#filled = resolve;
    });
    this.written = context.fuse.guard(mayWrite.then(() => this.#sendReady(target)).then(() => filled));
  }

  accept(from: number, frame: CallFrame): void {
    if (from !== this.#root || (frame.type !== 'filled' && frame.type !== 'root')) {
      throw new RangeError(
        `Broadcast ${this.#call}: the call of rank ${from} differs from that of rank ${this.#context.rank}, whose root is ${this.#root}`,
      );
    }
    if (frame.type === 'filled') this.#filled();
  }

  async #sendReady({ handle, offsetBytes, sizeBytes }: SharedTarget): Promise<void> {
    await this.#context.beforeReceive?.(this.#root, sizeBytes, this.#call);
    const frame: ReadyFrame = { type: 'ready', call: this.#call, handle, offsetBytes, sizeBytes };
    this.#context.peers.get(this.#root)?.send(frame);
  }
}
