import type { WaitOptions } from '@checkpoint-engine/interface';
import { Deadline } from '@checkpoint-engine/interface/shared';
import { Backoff, keepInDeno, ZmqSocket } from '@checkpoint-engine/store/internal';
import { Request } from 'zeromq';

/** Interval at which a wait checks whether the worker is still connected. */
const POLL_INTERVAL_MS = 200;

/** Time for which a closed link continues to send. */
const LINGER_MS = 1_000;

const BACKOFF = { spinMs: 2, maxPauseMs: 5 };

// A receive never wakes up by itself in Deno, so it polls there.
const WAKES: boolean = !('Deno' in globalThis);

/**
 * The REQ end of the pair of sockets between this process and a worker. It notices when the worker disconnects, and it
 * can send while a reply is outstanding: a busy worker gets the message once it has replied, and the late reply is
 * dropped.
 */
export class WorkerLink {
  readonly #native: Request;
  readonly #socket: ZmqSocket;
  #receiving: Promise<Uint8Array | undefined> | undefined;

  constructor() {
    this.#native = keepInDeno(new Request({ linger: LINGER_MS, relaxed: true, correlate: true }));
    this.#socket = new ZmqSocket(this.#native, BACKOFF);
    this.#native.receiveTimeout = WAKES ? POLL_INTERVAL_MS : 0;
  }

  /** Whether a worker is connected. */
  get isConnected(): boolean {
    return !this.#socket.closed && this.#native.writable;
  }

  /** @throws `CE_ADDRESS_IN_USE`. */
  bind(address: string): Promise<void> {
    return this.#socket.bind(address);
  }

  /**
   * Sends a message to the worker. Waits while there is none. @throws `CE_TIMEOUT` (nothing was sent), `CE_ABORTED`,
   * `CE_CLOSED`
   */
  send(message: Uint8Array, options: WaitOptions): Promise<void> {
    return this.#socket.send([message], options);
  }

  /**
   * Returns the reply to the last message, or `undefined` if the worker disconnected without one.
   *
   * @throws `CE_TIMEOUT`, `CE_ABORTED`, `CE_CLOSED`.
   */
  async receive(options: WaitOptions): Promise<Uint8Array | undefined> {
    const deadline = new Deadline(`The reply on ${this.#socket.address}`, options, 0);
    const backoff = new Backoff(BACKOFF);
    for (;;) {
      // This check comes first: a reply from before the disconnect is still read after it.
      const wasConnected = this.isConnected;
      const reply = await deadline.race(this.#receive());
      if (reply !== undefined || !wasConnected) return reply;
      deadline.check();
      if (!WAKES) await backoff.pause();
    }
  }

  /** Resolves when the worker has disconnected. @throws `CE_TIMEOUT` */
  async untilDisconnected(timeoutMs: number): Promise<void> {
    const deadline = new Deadline('The end of the connection', { timeoutMs }, 0);
    const backoff = new Backoff({ spinMs: 0, maxPauseMs: 50 });
    while (this.isConnected) {
      deadline.check();
      await backoff.pause();
    }
  }

  /** Idempotent. Pending waits reject with `CE_CLOSED`. Sent messages have up to a second to go out. */
  close(): void {
    this.#socket.close();
  }

  /** Returns what has arrived, within a short time. A receive without a caller any more serves the next call. */
  #receive(): Promise<Uint8Array | undefined> {
    this.#receiving ??= this.#receiveNow().finally(() => {
      this.#receiving = undefined;
    });
    return this.#receiving;
  }

  async #receiveNow(): Promise<Uint8Array | undefined> {
    try {
      const [frame] = await this.#native.receive();
      return frame;
    } catch (error) {
      if (!this.#socket.closed && isEmpty(error)) return undefined;
      throw error;
    }
  }
}

const isEmpty = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EAGAIN';
