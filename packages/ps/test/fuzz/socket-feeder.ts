import { connect, type Socket } from 'node:net';

/** Maximum number of bytes that wait to be sent on one connection. */
const MAX_WAITING_BYTES = 64 * 1024;

/** Connects, sends what it is given, and does not read the answers. */
export class Feeder {
  readonly socket: Socket;
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.resume();
  }

  static async open(to: { port: number; host: string } | { path: string }): Promise<Feeder> {
    const feeder = new Feeder(connect(to as { path: string }));
    await Promise.race([new Promise((resolve) => feeder.socket.once('connect', resolve)), feeder.closed]);
    return feeder;
  }

  get isOpen(): boolean {
    return this.socket.writable;
  }

  /** Writes, and waits when the other side does not read. */
  async say(bytes: Uint8Array): Promise<void> {
    if (!this.isOpen) return;
    this.socket.write(bytes);
    if (this.socket.writableLength < MAX_WAITING_BYTES) return;
    await Promise.race([new Promise((resolve) => this.socket.once('drain', resolve)), this.closed]);
  }

  /** Gives the other side time to process what it has received. */
  async pause(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  async end(): Promise<void> {
    this.socket.destroySoon();
    const timer = setTimeout(() => this.socket.destroy(), 200);
    await this.closed;
    clearTimeout(timer);
  }
}
