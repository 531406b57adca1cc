import type { Socket } from 'node:net';
import { encodeFrame, type Frame, FrameReader } from './frame-codec.ts';

/** A socket between two members, in frames. */
export class Connection {
  /** Resolves when the socket is closed, by either side or by the death of the other. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting: Frame[] = [];
  #consume: ((frame: Frame) => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    const reader = new FrameReader();
    socket.on('error', () => {}); // 'close' follows
    socket.on('data', (chunk) => {
      try {
        for (const frame of reader.push(chunk)) this.#take(frame);
      } catch {
        socket.destroy(); // whoever it is does not speak our protocol
      }
    });
  }

  /** Sends a frame, unless the socket is closed already: who waits for an answer also waits for `closed`. */
  send(frame: Frame): void {
    this.write(encodeFrame(frame));
  }

  /** Sends a frame that is encoded already. */
  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** Gives frames to `consumer` from now on, those first that have arrived meanwhile. It must not throw. */
  consume(consumer: (frame: Frame) => void): void {
    this.#consume = consumer;
    for (const frame of this.#waiting.splice(0)) consumer(frame);
  }

  /** The next frame, for the time before `consume`; `undefined` when the socket closes first. */
  async next(): Promise<Frame | undefined> {
    const first = this.#waiting.shift();
    if (first !== undefined) return first;
    const arrived = new Promise<Frame>((resolve) => {
      this.#consume = (frame) => {
        this.#consume = undefined;
        resolve(frame);
      };
    });
    return await Promise.race([arrived, this.closed.then(() => undefined)]);
  }

  /** Sends a last frame and closes the socket behind it. */
  async end(frame: Frame): Promise<void> {
    this.send(frame);
    this.#socket.destroySoon();
    await this.closed;
  }

  /** Closes the socket at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  #take(frame: Frame): void {
    if (this.#consume) this.#consume(frame);
    else this.#waiting.push(frame);
  }
}
