import type { WaitOptions } from '@checkpoint-engine/interface';
import { Request } from 'zeromq';
import { useSeveralIoThreads } from './io-threads.ts';
import { DEFAULT_LINGER_MS, type Frames, ZmqSocket } from './socket.ts';

/** Options of {@link RequestSocket}. */
export interface RequestSocketOptions {
  /** How long a closed socket goes on trying to send what it was given. @default 300 */
  readonly lingerMs?: number | undefined;
}

/** Where a {@link RequestSocket} stands. `closed` is for good. */
export type RequestState = 'ready' | 'awaiting-reply' | 'closed';

/**
 * A REQ socket: one request, then its reply, in turn.
 *
 * A reply that did not come leaves the pair out of step, since it may still come and would be taken for the next one.
 * So a receive that fails for any reason (time-out, abort) closes the socket for good: go on with a new one, on a new
 * address if the old peer may still be there. A send that runs out of time has sent nothing and may be tried again.
 *
 * @example
 * const socket = new RequestSocket();
 * await socket.bind('ipc://@updates-7.sock');
 * const [reply] = await socket.request([handle], { timeoutMs: 5_000 });
 * socket.close();
 */
export class RequestSocket {
  readonly #socket: ZmqSocket;
  #state: RequestState = 'ready';

  constructor({ lingerMs = DEFAULT_LINGER_MS }: RequestSocketOptions = {}) {
    useSeveralIoThreads();
    this.#socket = new ZmqSocket(new Request({ linger: lingerMs }), { spinMs: 2, maxPauseMs: 10 });
  }

  get state(): RequestState {
    return this.#state;
  }

  /** The address it was bound or connected to, `''` before. */
  get address(): string {
    return this.#socket.address;
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
  bind(address: string): Promise<void> {
    return this.#socket.bind(address);
  }

  connect(address: string): void {
    this.#socket.connect(address);
  }

  /**
   * Sends a request; waits while no peer is connected.
   *
   * @throws `CE_TIMEOUT` (nothing was sent), `CE_ABORTED`, `CE_CLOSED`.
   * @throws {TypeError} The reply of the last request was not received.
   */
  async send(frames: Frames, options: WaitOptions = {}): Promise<void> {
    if (this.#state === 'awaiting-reply') throw new TypeError('Receive the reply before the next request is sent');
    await this.#socket.send(frames, options);
    this.#state = 'awaiting-reply';
  }

  /**
   * The reply to the request that was sent. Closes this socket when it fails.
   *
   * @throws `CE_TIMEOUT`, `CE_ABORTED`, `CE_CLOSED`.
   * @throws {TypeError} No request was sent.
   */
  async receive(options: WaitOptions = {}): Promise<Uint8Array[]> {
    if (this.#state === 'ready') throw new TypeError('Send a request before its reply is received');
    try {
      const reply = await this.#socket.receive(options);
      this.#state = 'ready';
      return reply;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** {@link send} and {@link receive} under one time-out. */
  async request(frames: Frames, options: WaitOptions = {}): Promise<Uint8Array[]> {
    const startedAt = performance.now();
    await this.send(frames, options);
    if (options.timeoutMs === undefined) return this.receive(options);
    const leftMs = Math.max(0, options.timeoutMs - (performance.now() - startedAt));
    return this.receive({ ...options, timeoutMs: leftMs });
  }

  /** Idempotent; pending calls reject with `CE_CLOSED`. */
  close(): void {
    this.#state = 'closed';
    this.#socket.close();
  }
}
