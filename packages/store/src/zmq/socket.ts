import { Buffer } from 'node:buffer';
import type { WaitOptions } from '@checkpoint-engine/interface';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Deadline } from '@checkpoint-engine/interface/shared';
import type { Readable, Socket, Writable } from 'zeromq';
import { Backoff, type BackoffOptions } from './backoff.ts';
import { keepInDeno } from './keep-in-deno.ts';

/** The parts of a multi-part message. */
export type Frames = readonly Uint8Array[];

/** The native socket types that this package uses. */
export type NativeSocket = Socket & Readable & Writable;

/** The default bound of a wait on a socket. */
export const DEFAULT_TIMEOUT_MS = 60_000;

/** Short enough that a process can end without a noticeable delay. */
export const DEFAULT_LINGER_MS = 300;

// Deno's uv_poll goes silent after its first callback, so a blocking receive would never wake up there: it polls
// instead. Node.js wakes up by itself.
const WAKES: boolean = !('Deno' in globalThis);

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/**
 * A ZeroMQ socket whose waits end: each has a time-out and an AbortSignal, in Node.js and in Deno.
 *
 * One send and one receive may be pending at a time. A receive that times out loses no message: the next one gets it.
 */
export class ZmqSocket {
  readonly #native: NativeSocket;
  readonly #backoff: BackoffOptions;
  #address = '';
  #parked: Promise<Uint8Array[]> | undefined;
  #closed = false;

  /** Takes over a native socket of ZeroMQ. */
  constructor(native: NativeSocket, backoff: BackoffOptions) {
    this.#native = keepInDeno(native);
    this.#backoff = backoff;
    native.sendTimeout = 0;
    native.receiveTimeout = WAKES ? -1 : 0;
  }

  /** The address that it is bound or connected to, `''` before. */
  get address(): string {
    return this.#address;
  }

  /** Whether the socket is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a peer, or the queue of one that is connecting, accepts a message at once. */
  get writable(): boolean {
    return !this.#closed && this.#native.writable;
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID` for an address that cannot be bound. */
  async bind(address: string): Promise<void> {
    this.#open();
    this.#address = address;
    try {
      await this.#native.bind(address);
      this.#address = this.#native.lastEndpoint ?? address;
    } catch (cause) {
      const details = { op: 'bind', peer: address, cause };
      if (isCode(cause, 'EADDRINUSE')) {
        const hint = 'Stop the process that uses it, or choose another address';
        throw new CheckpointEngineError('CE_ADDRESS_IN_USE', `Address ${address} is in use`, hint, details);
      }
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CheckpointEngineError(
        'CE_CONFIG_INVALID',
        `Address ${address} cannot be bound: ${why}`,
        'Check the address',
        details,
      );
    }
    this.#open();
  }

  /** Connects in the background: the peer may start later. */
  connect(address: string): void {
    this.#open();
    this.#address = address;
    this.#native.connect(address);
  }

  /**
   * Passes a message to ZeroMQ. Waits while no peer accepts it. Do not change `frames` afterwards: large frames are
   * sent without a copy.
   *
   * @throws `CE_TIMEOUT` (nothing was sent), `CE_ABORTED`, `CE_CLOSED`.
   */
  async send(frames: Frames, options: WaitOptions = {}): Promise<void> {
    this.#open();
    if (!this.#native.writable) await this.#room(options);
    await this.#native.send(frames.map(asBuffer));
  }

  /**
   * Returns the next message.
   *
   * @throws `CE_TIMEOUT`, `CE_ABORTED`, `CE_CLOSED`.
   */
  async receive(options: WaitOptions = {}): Promise<Uint8Array[]> {
    this.#open();
    const deadline = new Deadline(`A message on ${this.#address}`, options, DEFAULT_TIMEOUT_MS);
    return WAKES ? await this.#receiveWoken(deadline) : await this.#receiveLooking(deadline);
  }

  /**
   * Closes the socket. Pending waits reject with `CE_CLOSED`. Unsent messages get the linger time of the socket.
   * Idempotent.
   */
  close(lingerMs?: number): void {
    if (this.#closed) return;
    this.#closed = true;
    if (lingerMs !== undefined) this.#native.linger = lingerMs;
    this.#native.close();
  }

  async #room(options: WaitOptions): Promise<void> {
    const deadline = new Deadline(`Room for a message to ${this.#address}`, options, DEFAULT_TIMEOUT_MS);
    const backoff = new Backoff(this.#backoff);
    do {
      deadline.check();
      await backoff.pause();
      this.#open();
    } while (!this.#native.writable);
  }

  async #receiveWoken(deadline: Deadline): Promise<Uint8Array[]> {
    // A native receive cannot be cancelled; one whose caller has stopped waiting is kept for the next call.
    this.#parked ??= this.#native.receive().finally(() => {
      this.#parked = undefined;
    });
    const parked = this.#parked;
    parked.catch(() => {});
    try {
      return await deadline.race(parked);
    } catch (error) {
      this.#open();
      throw error;
    }
  }

  async #receiveLooking(deadline: Deadline): Promise<Uint8Array[]> {
    const backoff = new Backoff(this.#backoff);
    while (!this.#native.readable) {
      deadline.check();
      await backoff.pause();
      this.#open();
    }
    return this.#native.receive();
  }

  #open(): void {
    if (!this.#closed) return;
    const what = `The socket on ${this.#address} is closed`;
    throw new CheckpointEngineError('CE_CLOSED', what, 'Open a new one', { peer: this.#address });
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
