import type { MemoryRange } from '@checkpoint-engine/interface';
import type { Call, CallContext } from './call.ts';
import type { AnnounceFrame, CallFrame } from './frames.ts';
import type { Step } from './order.ts';

/** Time after which a receiver describes to the root what it waits for, so that a mistake is detected. */
const patienceMs = 100;

/** A broadcast at a receiver: copies the bytes from the root's memory as soon as it knows their location. */
export class ReceiveCall implements Call {
  /** Resolves when the target holds the bytes. */
  readonly written: Promise<void>;
  readonly #call: number;
  readonly #context: CallContext;
  readonly #root: number;
  readonly #target: MemoryRange;
  #arrive: (frame: AnnounceFrame) => void = () => {};

  constructor(call: number, context: CallContext, root: number, target: MemoryRange, before: Step) {
    this.#call = call;
    this.#context = context;
    this.#root = root;
    this.#target = target;
    const announced = new Promise<AnnounceFrame>((resolve) => {
      this.#arrive = resolve;
    });
    const timer = setTimeout(() => this.#remind(), patienceMs);
    const announcement = context.fuse.guard(announced).finally(() => clearTimeout(timer));
    announcement.catch(() => {}); // `written` reports it.
    this.written = before.quiet.then(() => announcement).then((frame) => this.#copy(frame));
  }

  accept(from: number, frame: CallFrame): void {
    const { sizeBytes } = this.#target;
    if (from !== this.#root || frame.type !== 'announce') {
      const theirs = frame.type === 'announce' ? from : this.#context.rank;
      throw new RangeError(`Broadcast ${this.#call}: its root is ${theirs} for rank ${from}, but ${this.#root} here`);
    }
    if (frame.sizeBytes !== sizeBytes) {
      throw new RangeError(`Broadcast ${this.#call}: rank ${from} sends ${frame.sizeBytes} bytes, not ${sizeBytes}`);
    }
    this.#arrive(frame);
  }

  async #copy(source: AnnounceFrame): Promise<void> {
    const { segments, stream, fuse, beforeReceive } = this.#context;
    const { offsetBytes, sizeBytes } = source;
    await beforeReceive?.(this.#root, sizeBytes, this.#call);
    if (fuse.error) throw fuse.error;
    if (sizeBytes > 0) {
      await segments.use([source], ([memory]) => {
        return stream.copy([{ from: { memory: memory!, offsetBytes, sizeBytes }, to: this.#target }]);
      });
    }
    this.#context.peers.get(this.#root)?.send({ type: 'ack', call: this.#call } as CallFrame);
  }

  #remind(): void {
    const frame: CallFrame = { type: 'expect', call: this.#call, sizeBytes: this.#target.sizeBytes };
    this.#context.peers.get(this.#root)?.send(frame);
  }
}
