import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { ByteQueue } from '@checkpoint-engine/interface/wire';
import {
  commandBytes,
  type FrameHead,
  messageBytes,
  nullGreeting,
  properties,
  readCommand,
  readFrameHead,
  readGreeting,
  readProperties,
} from './frames.ts';

/** Maximum size of a command: those of the handshake, and heartbeats. */
const MAX_COMMAND_BYTES = 512;
const MAX_IDENTITY_BYTES = 255;
const MAX_PING_CONTEXT_BYTES = 16;

/** Limits for a peer. */
export interface ZmtpLimits {
  /** Maximum size of a frame in bytes. */
  readonly frameBytes: number;
  /** Maximum number of frames in a message. */
  readonly frames: number;
}

/** The events of a {@link ZmtpConnection}. */
export interface ZmtpEvents {
  /** The handshake has ended: the peer has this name, which may be empty. */
  onReady(identity: Uint8Array): void;
  /** A complete message arrived. Its frames share memory with the received data. */
  onMessage(frames: Uint8Array[]): void;
  /** A command arrived, after the handshake. */
  onCommand(): void;
  /** The peer violates the protocol or the limits. Reading stops. */
  onBroken(why: string): void;
}

/** The side of the connection, and its name. */
export interface ZmtpSelf {
  readonly type: 'ROUTER' | 'DEALER';
  /** The name of this side for a ROUTER; `''` if it has none. */
  readonly identity: string;
}

const OTHER_TYPE = { ROUTER: 'DEALER', DEALER: 'ROUTER' } as const;

/**
 * One connection of ZMTP 3.0 without encryption, between a ROUTER and a DEALER. libzmq collects the frames of a message
 * without a limit on their number, and cannot close the connection of one peer; this class limits them, and can.
 *
 * @source https://rfc.zeromq.org/spec/23/ and, for heartbeats, https://rfc.zeromq.org/spec/37/
 */
export class ZmtpConnection {
  /** Limits for the peer; raised after it has identified itself. */
  limits: ZmtpLimits;
  readonly #socket: Socket;
  readonly #self: ZmtpSelf;
  readonly #events: ZmtpEvents;
  readonly #queue = new ByteQueue();
  #step: 'greeting' | 'handshake' | 'messages' | 'over' = 'greeting';
  /** Frames of a message that is not complete yet. */
  #frames: Uint8Array[] = [];

  constructor(socket: Socket, self: ZmtpSelf, limits: ZmtpLimits, events: ZmtpEvents) {
    this.#socket = socket;
    this.#self = self;
    this.limits = limits;
    this.#events = events;
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk));
    socket.write(nullGreeting());
  }

  /** Sends a message. Does nothing if the connection is closed or not ready. The frames must not change. */
  send(frames: readonly Uint8Array[]): void {
    if (this.#step !== 'messages' || !this.#socket.writable) return;
    this.#socket.cork();
    for (const bytes of messageBytes(frames)) this.#socket.write(bytes);
    this.#socket.uncork();
  }

  /** Ignores all data that has arrived. */
  stop(): void {
    this.#step = 'over';
    this.#frames = [];
  }

  #take(chunk: Uint8Array): void {
    if (this.#isOver) return;
    try {
      this.#queue.push(chunk);
      while (this.#advance()) {}
    } catch (error) {
      this.stop();
      this.#events.onBroken(error instanceof Error ? error.message : String(error));
    }
  }

  get #isOver(): boolean {
    return this.#step === 'over';
  }

  /** Handles the next part of the stream, if it has arrived. */
  #advance(): boolean {
    if (this.#step === 'greeting') {
      const sizeBytes = readGreeting(this.#queue.bytes, 'NULL');
      if (sizeBytes === undefined) return false;
      this.#queue.take(sizeBytes);
      this.#step = 'handshake';
      const { type, identity } = this.#self;
      this.#socket.write(commandBytes('READY', properties({ 'Socket-Type': text(type), Identity: text(identity) })));
      return true;
    }
    const head = readFrameHead(this.#queue.bytes);
    if (head === undefined) return false;
    const maxBytes = head.isCommand ? MAX_COMMAND_BYTES : this.limits.frameBytes;
    if (head.bodyBytes > maxBytes) throw new RangeError(`a frame of ${head.bodyBytes} bytes, not at most ${maxBytes}`);
    const wholeBytes = head.headBytes + head.bodyBytes;
    if (this.#queue.sizeBytes < wholeBytes) {
      this.#queue.reserve(wholeBytes);
      return false;
    }
    this.#queue.take(head.headBytes);
    this.#frame(head, this.#queue.take(head.bodyBytes));
    return !this.#isOver;
  }

  #frame({ isCommand, hasMore }: FrameHead, body: Uint8Array): void {
    if (isCommand) {
      this.#command(body);
      return;
    }
    if (this.#step !== 'messages') throw new RangeError('a message before the end of the handshake');
    if (this.#frames.length >= this.limits.frames)
      throw new RangeError(`a message of more than ${this.limits.frames} frames`);
    this.#frames.push(body);
    if (hasMore) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#events.onMessage(frames);
  }

  #command(body: Uint8Array): void {
    const { name, data } = readCommand(body);
    if (this.#step === 'handshake') {
      if (name !== 'READY') throw new RangeError(`the command "${name.slice(0, 20)}" in place of READY`);
      const found = readProperties(data);
      const socketType = Buffer.from(found.get('socket-type') ?? []).toString('latin1');
      if (socketType !== OTHER_TYPE[this.#self.type])
        throw new RangeError(`a socket of type "${socketType.slice(0, 20)}"`);
      const identity = found.get('identity') ?? new Uint8Array(0);
      if (identity.byteLength > MAX_IDENTITY_BYTES) throw new RangeError('a name that is too long');
      this.#step = 'messages';
      this.#events.onReady(identity.slice());
      return;
    }
    this.#events.onCommand();
    if (name !== 'PING') return;
    // The command has a lifetime and then the data to echo.
    const context = data.subarray(2, 2 + MAX_PING_CONTEXT_BYTES);
    if (this.#socket.writable) this.#socket.write(commandBytes('PONG', context));
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
