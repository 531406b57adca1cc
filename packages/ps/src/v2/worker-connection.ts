import type { CheckpointEngineError, ServerMessage } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { RegionHold } from '../pull-channel.ts';
import { numberText, type SessionIdentity, toWire, workerBroke, workerFailed, workerLost } from './errors.ts';
import { encodeFrame, type ReceivedMessage } from './frames.ts';
import type { Caller } from './listener.ts';

const REPLIES: ReadonlySet<string> = new Set([
  ...['ready', 'ack', 'released', 'finished', 'confirmed'],
  ...['surveyed', 'needs', 'mapped', 'pulled', 'proved', 'digested'],
]);
/** Replies for which several waits are possible, distinguished by their index. */
const INDEXED: ReadonlySet<string> = new Set(['ack', 'pulled', 'digested']);

/** Time limit for a worker that keeps regions mapped to unmap them. */
const HOLD_GRACE_MS = 2_000;

/** The callbacks of a connection to its session. */
export interface ConnectionEvents {
  /** A reply arrived. Returns whether the session expected it: an unexpected one violates the protocol. */
  onReply(name: string, message: ReceivedMessage): boolean;
  /** The worker is lost, has failed or has violated the protocol. Called at most once. */
  onFailure(error: CheckpointEngineError): void;
}

/** The connection to the worker that presented the key: sends frames, receives replies, and reports its end. */
export class WorkerConnection {
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  readonly #caller: Caller;
  readonly #identity: SessionIdentity;
  readonly #events: ConnectionEvents;
  #over = false;

  constructor(caller: Caller, identity: SessionIdentity, events: ConnectionEvents) {
    this.#caller = caller;
    this.#identity = identity;
    this.#events = events;
    const { socket, reader } = caller;
    reader.trust();
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    let cause: Error | undefined;
    socket.on('error', (error) => {
      cause = error;
    });
    socket.on('data', (chunk: Uint8Array) => {
      if (this.#over) return;
      reader.push(chunk);
      this.#read();
    });
    socket.once('end', () => this.#fail(workerLost(identity)));
    socket.once('close', () => this.#fail(workerLost(identity, cause)));
  }

  /** The worker's first message. */
  get hello(): ReceivedMessage {
    return this.#caller.hello;
  }

  /** Reads data that arrived together with the hello. */
  start(): void {
    this.#read();
  }

  /** Sends a message. @throws {RangeError} It is larger than a worker accepts. */
  send(message: ServerMessage): void {
    const frame = encodeFrame(message);
    if (!this.#over) this.#caller.socket.write(frame);
  }

  /** Notifies the worker that the update has ended, and waits this long for it to release the buffer and disconnect. */
  async abort(error: Error, graceMs: number): Promise<void> {
    this.#over = true;
    const { socket } = this.#caller;
    if (socket.writable) socket.end(encodeFrame({ type: 'abort', error: toWire(error) }));
    const timer = setTimeout(() => socket.destroy(), graceMs);
    await this.closed;
    clearTimeout(timer);
  }

  /** Leaves the connection to a worker that keeps regions mapped: its later messages are ignored. */
  hold(): RegionHold {
    this.#over = true;
    const { socket } = this.#caller;
    socket.resume();
    socket.unref();
    return {
      closed: this.closed,
      end: async () => {
        socket.end();
        if (!(await settlesWithin(this.closed, HOLD_GRACE_MS))) socket.destroy();
      },
    };
  }

  /** Disconnects. Idempotent. */
  async close(): Promise<void> {
    this.#over = true;
    this.#caller.socket.destroy();
    await this.closed;
  }

  #read(): void {
    try {
      for (let message = this.#next(); message; message = this.#next()) this.#handle(message);
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      this.#fail(workerBroke(this.#identity, cause.message, this.#caller.hello.protocol, cause));
    }
  }

  #next(): ReceivedMessage | undefined {
    return this.#over ? undefined : this.#caller.reader.next();
  }

  #handle(message: ReceivedMessage): void {
    if (message.type === 'error') {
      this.#fail(workerFailed(this.#identity, message.error));
      return;
    }
    const name = INDEXED.has(message.type) ? `${message.type} ${numberText(message.index)}` : message.type;
    if (REPLIES.has(message.type) && this.#events.onReply(name, message)) return;
    const what = REPLIES.has(message.type)
      ? `"${name.slice(0, 40)}", which nothing waits for`
      : `a message of unknown type "${name.slice(0, 40)}"`;
    this.#fail(workerBroke(this.#identity, what, this.#caller.hello.protocol));
  }

  #fail(error: CheckpointEngineError): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onFailure(error);
  }
}
