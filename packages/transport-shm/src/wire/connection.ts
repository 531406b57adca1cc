import type { Socket } from 'node:net';
import { encodeFrame, type Frame, FrameReader, MEMBER_LIMITS } from './frame-codec.ts';

/** Time for which an ending connection waits for the other side to read the sent data. */
const lingerMs = 1_000;

/** A socket between two members that carries frames. */
export class Connection {
  /** Resolves when the socket is closed, by either side or by the death of the other. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #onGarbage: () => void;
  #onPiece: (() => void) | undefined;
  #consume: ((frame: Frame) => void) | undefined;

  /**
   * @param onGarbage Handles a socket whose other side does not use this protocol.
   * @default closes it
   * @param onPiece   Called for every piece that is read before the other side is trusted.
   */
  constructor(socket: Socket, onGarbage: () => void = () => socket.destroy(), onPiece?: () => void) {
    this.#socket = socket;
    this.#onGarbage = onGarbage;
    this.#onPiece = onPiece;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('data', (chunk) => {
      this.#reader.push(chunk);
      this.#read();
      this.#onPiece?.();
    });
  }

  /** Marks the other side as authenticated, so that it may send all frames of members. */
  trust(): void {
    this.#reader.limits = MEMBER_LIMITS;
    this.#onPiece = undefined;
  }

  /** Sends a frame, unless the socket is already closed: a caller that waits for an answer also waits for `closed`. */
  send(frame: Frame): void {
    this.write(encodeFrame(frame));
  }

  /** Sends an encoded frame. */
  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /**
   * Passes frames to `consumer` from now on, starting with those that have already arrived. An error of `consumer`
   * ends the connection.
   */
  consume(consumer: (frame: Frame) => void): void {
    this.#consume = consumer;
    this.#read();
  }

  /**
   * Returns the next frame, before `consume` is called; `undefined` if the socket closes first. Reads no further frame.
   */
  async next(): Promise<Frame | undefined> {
    const arrived = new Promise<Frame>((resolve) => {
      this.consume((frame) => {
        this.#consume = undefined;
        resolve(frame);
      });
    });
    return await Promise.race([arrived, this.closed.then(() => undefined)]);
  }

  /** Sends a last frame and then closes the socket, without waiting long for a peer that does not read. */
  async end(frame: Frame): Promise<void> {
    this.send(frame);
    this.#socket.destroySoon();
    const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
    await this.closed;
    clearTimeout(timer);
  }

  /** Closes the socket immediately. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Passes the available frames on. Does not read more from the socket while there is no consumer. */
  #read(): void {
    try {
      while (this.#consume !== undefined) {
        const frame = this.#reader.next();
        if (frame === undefined) break;
        this.#consume(frame);
      }
    } catch {
      this.#consume = undefined;
      this.#socket.pause();
      this.#onGarbage();
      return;
    }
    if (this.#consume === undefined && this.#reader.heldBytes > 0) this.#socket.pause();
    else this.#socket.resume();
  }
}
