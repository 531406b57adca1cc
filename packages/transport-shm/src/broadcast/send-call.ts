import type { MemoryRange } from '@checkpoint-engine/interface';
import { sharedMemoryOf } from '../memory/range-checks.ts';
import { encodeFrame } from '../wire/frame-codec.ts';
import type { Call, CallContext } from './call.ts';
import type { AnnounceFrame, CallFrame } from './frames.ts';
import type { Step } from './order.ts';

/** A broadcast at its root: announces the location of the bytes, and waits until every peer has copied them. */
export class SendCall implements Call {
  /** Resolves when peers no longer read the source. */
  readonly read: Promise<void>;
  /** Resolves when the target holds the bytes. */
  readonly written: Promise<void>;
  readonly #call: number;
  readonly #context: CallContext;
  readonly #source: MemoryRange;
  readonly #missing: Set<number>;
  #allRead: () => void = () => {};

  constructor(call: number, context: CallContext, source: MemoryRange, target: MemoryRange, before: Step) {
    this.#call = call;
    this.#context = context;
    this.#source = source;
    this.#missing = new Set(context.peers.keys());
    const acknowledged = new Promise<void>((resolve) => {
      this.#allRead = resolve;
    });
    this.read = context.fuse.guard(before.written.then(() => this.#announce()).then(() => acknowledged));
    this.written = source === target ? before.written : before.quiet.then(() => this.#copy(target));
  }

  accept(from: number, frame: CallFrame): void {
    const { sizeBytes } = this.#source;
    if (frame.type === 'announce' || frame.type === 'filled' || frame.type === 'root') {
      throw new RangeError(`Ranks ${from} and ${this.#context.rank} are both the root of broadcast ${this.#call}`);
    }
    if (frame.type === 'ready') {
      throw new RangeError(`Broadcast ${this.#call}: rank ${from} expects it in shared memory, but its root does not`);
    }
    if (frame.type === 'expect') {
      if (frame.sizeBytes === sizeBytes) return;
      throw new RangeError(`Broadcast ${this.#call}: rank ${from} expects ${frame.sizeBytes} bytes, not ${sizeBytes}`);
    }
    this.#missing.delete(from);
    if (this.#missing.size === 0) this.#allRead();
  }

  #announce(): void {
    const { memory, offsetBytes, sizeBytes } = this.#source;
    const { handle } = sharedMemoryOf(this.#source, "The root's source");
    const frame: AnnounceFrame = {
      type: 'announce',
      call: this.#call,
      handle,
      memoryBytes: memory.sizeBytes,
      offsetBytes,
      sizeBytes,
    };
    if (this.#missing.size === 0) this.#allRead();
    const bytes = encodeFrame(frame);
    for (const peer of this.#context.peers.values()) peer.write(bytes);
  }

  async #copy(target: MemoryRange): Promise<void> {
    const { fuse, stream } = this.#context;
    if (fuse.error) throw fuse.error;
    if (target.sizeBytes > 0) await stream.copy([{ from: this.#source, to: target }]);
  }
}
