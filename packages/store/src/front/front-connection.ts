import { connect, type Socket } from 'node:net';
import { ByteQueue, type PendingConnection } from '@checkpoint-engine/interface/wire';
import { curveServerGreeting } from '../zmtp/frames.ts';
import { isCurveHello, ServerFrames } from './curve-frames.ts';
import type { ProvenClient } from './proven-clients.ts';

/** Maximum number of bytes that a client may send before it has proved that it knows the token: greeting, HELLO and INITIATE. */
const MAX_UNPROVEN_BYTES = 2_048;

/** Options of {@link FrontConnection}. */
export interface FrontConnectionOptions {
  readonly client: Socket;
  readonly candidate: PendingConnection;
  /** Path of ZeroMQ's socket. */
  readonly innerPath: string;
  /** The client has proved that it knows the token. */
  readonly onProven: () => void;
  /** Called once, when the client's connection has closed. */
  readonly onClosed: () => void;
}

/**
 * One client's connection in front of ZeroMQ. A client has no connection to ZeroMQ, and costs one descriptor, until it
 * has sent a complete HELLO. All bytes after the greeting pass unchanged in both directions.
 */
export class FrontConnection implements ProvenClient {
  isAnswered = false;
  heardAt: number = performance.now();
  readonly #options: FrontConnectionOptions;
  readonly #queue = new ByteQueue();
  readonly #server = new ServerFrames();
  #isProven = false;
  #unprovenBytes = 0;
  #inner: Socket | undefined;

  constructor(options: FrontConnectionOptions) {
    this.#options = options;
    const { client, onClosed } = options;
    client.on('error', () => {}); // 'close' follows
    client.on('data', (chunk: Uint8Array) => this.#hear(chunk));
    client.once('close', () => {
      this.#inner?.destroy();
      onClosed();
    });
    // ZeroMQ's clients wait for the greeting before they send the rest of theirs.
    client.write(curveServerGreeting());
  }

  close(): void {
    this.#options.client.destroy();
  }

  #hear(chunk: Uint8Array): void {
    this.heardAt = performance.now();
    const { candidate } = this.#options;
    if (this.#isProven || candidate.isClosed) return;
    this.#unprovenBytes += chunk.byteLength;
    if (this.#unprovenBytes > MAX_UNPROVEN_BYTES) {
      candidate.refuse('it sends more than a client may before it has proved that it knows the token');
      return;
    }
    if (this.#inner === undefined) this.#greet(chunk);
  }

  #greet(chunk: Uint8Array): void {
    const { client, candidate } = this.#options;
    try {
      this.#queue.push(chunk);
      if (!isCurveHello(this.#queue.bytes)) {
        candidate.throttle();
        return;
      }
    } catch (error) {
      candidate.refuse(error instanceof Error ? error.message : String(error));
      return;
    }
    candidate.advance();
    const inner = connect({ path: this.#options.innerPath });
    this.#inner = inner;
    inner.on('error', () => {}); // 'close' follows
    inner.once('close', () => client.destroySoon());
    inner.write(this.#queue.take(this.#queue.sizeBytes));
    client.pipe(inner);
    inner.on('data', this.#onAnswer);
  }

  /** Passes bytes of ZeroMQ to the client, until there is nothing more to observe in them. */
  readonly #onAnswer = (bytes: Uint8Array): void => {
    const { client, candidate, onProven } = this.#options;
    const toClient = this.#server.read(bytes);
    if (toClient.byteLength > 0 && client.writable) client.write(toClient);
    const { step } = this.#server;
    if (!this.#isProven && (step === 'ready' || step === 'answered')) {
      this.#isProven = true;
      candidate.accept();
      onProven();
    }
    this.isAnswered = step === 'answered';
    if (!this.isAnswered) return;
    this.#inner!.off('data', this.#onAnswer).pipe(client);
  };
}
