import { Buffer } from 'node:buffer';
import { ByteQueue } from '@checkpoint-engine/interface/wire';
import { GREETING_BYTES, readCommand, readFrameHead, readGreeting } from '../zmtp/frames.ts';

/** Size of the body of the command HELLO. */
const HELLO_BYTES = 200;
/** Size of the body of the command WELCOME, and upper bound for READY, which has the properties of the server. */
const MAX_HANDSHAKE_BYTES = 512;
/** Encrypted heartbeats, of ZeroMQ and of the store, have smaller bodies; an answer of the store has a larger one. */
const MAX_HEARTBEAT_BYTES = 64;

/**
 * Checks the first bytes of a client: its greeting, and the command HELLO with the proof that it knows the server's
 * key. Returns whether they are complete. ZeroMQ checks the proof.
 *
 * @source https://rfc.zeromq.org/spec/26/
 * @throws {RangeError} They are something else; detected at the first wrong byte.
 */
export function isCurveHello(bytes: Uint8Array): boolean {
  const greetingBytes = readGreeting(bytes, 'CURVE');
  if (greetingBytes === undefined) return false;
  const head = readFrameHead(bytes.subarray(greetingBytes));
  if (head === undefined) return false;
  const start = greetingBytes + head.headBytes;
  if (!head.isCommand || head.bodyBytes !== HELLO_BYTES) throw new RangeError('it does not begin with HELLO');
  if (bytes.length < start + HELLO_BYTES) return false;
  const { name } = readCommand(bytes.subarray(start, start + HELLO_BYTES));
  if (name !== 'HELLO') throw new RangeError('it does not begin with HELLO');
  return true;
}

/** What a server has said to a client. */
export type ServerStep = 'greeting' | 'handshake' | 'ready' | 'answered';

/**
 * Follows the frames of a server: `ready` means that the client has proved that it knows the server's key, `answered`
 * that the store has sent it more than heartbeats.
 */
export class ServerFrames {
  #step: ServerStep = 'greeting';
  readonly #queue = new ByteQueue();
  /** Bytes of the current frame that have not arrived. */
  #restBytes = 0;

  get step(): ServerStep {
    return this.#step;
  }

  /** Follows the next bytes of the server. Returns those for the client: all except the greeting. */
  read(chunk: Uint8Array): Uint8Array {
    let toClient = chunk;
    if (this.#step === 'greeting') {
      const missing = GREETING_BYTES - this.#restBytes;
      toClient = chunk.subarray(missing);
      this.#restBytes += Math.min(missing, chunk.byteLength);
      if (this.#restBytes < GREETING_BYTES) return toClient;
      this.#restBytes = 0;
      this.#step = 'handshake';
    }
    this.#follow(toClient);
    return toClient;
  }

  #follow(chunk: Uint8Array): void {
    const skippedBytes = Math.min(this.#restBytes, chunk.byteLength);
    this.#restBytes -= skippedBytes;
    if (skippedBytes < chunk.byteLength) this.#queue.push(chunk.subarray(skippedBytes));
    while (this.#step !== 'answered' && this.#frame()) {}
  }

  /** Reads one frame, if it has arrived. */
  #frame(): boolean {
    const head = readFrameHead(this.#queue.bytes);
    if (head === undefined) return false;
    const wholeBytes = head.headBytes + head.bodyBytes;
    if (this.#step === 'ready') {
      if (head.bodyBytes > MAX_HEARTBEAT_BYTES) {
        this.#step = 'answered';
        return false;
      }
      const hereBytes = Math.min(wholeBytes, this.#queue.sizeBytes);
      this.#queue.take(hereBytes);
      this.#restBytes = wholeBytes - hereBytes;
      return this.#restBytes === 0;
    }
    if (head.bodyBytes > MAX_HANDSHAKE_BYTES) throw new RangeError(`a command of ${head.bodyBytes} bytes`);
    if (this.#queue.sizeBytes < wholeBytes) return false;
    const body = this.#queue.take(wholeBytes).subarray(head.headBytes);
    if (head.isCommand && readCommand(Buffer.from(body)).name === 'READY') this.#step = 'ready';
    return true;
  }
}
