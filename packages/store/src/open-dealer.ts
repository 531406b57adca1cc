import { connect, type Socket } from 'node:net';
import { hostOf, portOf } from './address.ts';
import type { StoreDealer } from './dealer.ts';
import { ZmtpConnection, type ZmtpLimits } from './zmtp/connection.ts';

/** Limits of both ends once a rank has joined: an envelope, a message and a piece of its values. */
export const MEMBER_LIMITS: ZmtpLimits = { frameBytes: 4 * 2 ** 20, frames: 3 };

const RECONNECT_MS = 100;
const RECONNECT_MAX_MS = 1_000;
/** The program that accepted the connection may be closing, or may not be a store: the next one may be the server. */
const HANDSHAKE_MS = 2_000;
const KEEP_ALIVE_MS = 10_000;
const LINGER_MS = 300;

/** Options of {@link OpenDealer}. */
export interface OpenDealerOptions {
  readonly address: string;
  readonly identity: string;
  /** Called for every message. Must not throw. */
  readonly take: (frames: Uint8Array[]) => void;
  /** Called for each new connection, before waiting messages are sent. */
  readonly onReady: () => void;
}

/** The dealer of a world without a token. It limits what any server may send. */
export class OpenDealer implements StoreDealer {
  readonly #options: OpenDealerOptions;
  /** Callers that wait for a connection. */
  readonly #waiting: (() => void)[] = [];
  #socket: Socket | undefined;
  #connection: ZmtpConnection | undefined;
  #reconnectMs = RECONNECT_MS;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: OpenDealerOptions) {
    this.#options = options;
    this.#connect();
  }

  reach(): boolean {
    return this.#connection !== undefined;
  }

  async send(frames: Uint8Array[]): Promise<void> {
    while (!this.#isClosed && this.#connection === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#isClosed) throw new Error('The dealer is closed');
    this.#connection?.send(frames);
  }

  /** Ends the sending side first, so that the server reads all of it before it closes. */
  async close(lingerMs: number = LINGER_MS): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#wake();
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    if (socket.connecting || lingerMs === 0) socket.destroy();
    else socket.end();
    await closed;
    clearTimeout(timer);
  }

  #connect(): void {
    const { address, identity, take, onReady } = this.#options;
    const socket = connect({ host: hostOf(address), port: portOf(address) });
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    this.#socket = socket;
    const handshake = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    socket.on('error', () => {}); // 'close' follows
    const connection = new ZmtpConnection(socket, { type: 'DEALER', identity }, MEMBER_LIMITS, {
      onReady: () => {
        clearTimeout(handshake);
        this.#connection = connection;
        this.#reconnectMs = RECONNECT_MS;
        onReady();
        this.#wake();
      },
      onMessage: (frames) => {
        if (!this.#isClosed) take(frames);
      },
      onCommand: () => {},
      onBroken: () => socket.destroy(),
    });
    socket.once('close', () => {
      clearTimeout(handshake);
      this.#connection = undefined;
      if (this.#isClosed) return;
      this.#timer = setTimeout(() => this.#connect(), this.#reconnectMs);
      this.#reconnectMs = Math.min(2 * this.#reconnectMs, RECONNECT_MAX_MS);
    });
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
