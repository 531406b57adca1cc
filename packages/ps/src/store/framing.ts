import { decode, encode } from '@msgpack/msgpack';
import { EMPTY_PAYLOAD, type Payload, PayloadReader } from './payload.ts';

/**
 * One message on the wire: an envelope `[sequence number, kind]`, then for a first one the message with the sizes of its
 * values, then at most one piece of them. Later pieces follow in messages of their own; beats may come between them.
 */
type Envelope = readonly [sequence: number, kind: Kind];
type Kind = typeof FIRST | typeof PIECE | typeof BEAT;
type Head = readonly [message: unknown, sizes: readonly number[]];

const FIRST = 0;
const PIECE = 1;
const BEAT = 2;

/** A whole message and the values that came with it. */
export interface Received<M> {
  readonly message: M;
  readonly values: readonly Uint8Array[];
}

/** Messages were lost on the way, or did not come from this protocol. */
export class FramingError extends Error {
  override readonly name = 'FramingError';
}

/** Numbers and frames the messages of one direction of a session. */
export class MessageWriter {
  #sequence = 0;

  /** The frames of each wire message, numbered when they are asked for: messages are drained in the order written. */
  write(message: object, payload: Payload = EMPTY_PAYLOAD): Iterable<Uint8Array[]> {
    return this.#frames(encode([message, payload.sizes], { ignoreUndefined: true }), payload.pieces);
  }

  /** A sign of life; unlike other messages it may overtake what waits to be sent. */
  *beat(): Generator<Uint8Array[]> {
    yield [this.#envelope(BEAT)];
  }

  *#frames(head: Uint8Array, [piece, ...pieces]: readonly Uint8Array[]): Generator<Uint8Array[]> {
    yield piece === undefined ? [this.#envelope(FIRST), head] : [this.#envelope(FIRST), head, piece];
    for (const later of pieces) yield [this.#envelope(PIECE), later];
  }

  #envelope(kind: Kind): Uint8Array {
    this.#sequence += 1;
    return encode([this.#sequence, kind] satisfies Envelope);
  }
}

/** Reads what a {@link MessageWriter} wrote, and notices when something is missing. */
export class MessageReader<M> {
  #sequence = 0;
  #pending: { message: M; reader: PayloadReader } | undefined;

  /**
   * Takes one wire message; gives the whole message once its last piece is here, and nothing for a beat.
   *
   * @throws {FramingError} Something is missing or malformed; the session cannot go on.
   */
  read(frames: readonly Uint8Array[]): Received<M> | undefined {
    try {
      return this.#read(frames.map(plain));
    } catch (cause) {
      if (cause instanceof FramingError) throw cause;
      throw new FramingError('A message is malformed', { cause });
    }
  }

  #read([envelope, ...rest]: readonly Uint8Array[]): Received<M> | undefined {
    const [sequence, kind] = decode(envelope!) as Envelope;
    if (sequence !== this.#sequence + 1) {
      throw new FramingError(`Message ${sequence} came after message ${this.#sequence}: messages were lost`);
    }
    this.#sequence = sequence;
    let piece: Uint8Array | undefined = rest[0];
    if (kind === BEAT) return undefined;
    if (kind === FIRST) {
      const [message, sizes] = decode(rest[0]!) as Head;
      this.#pending = { message: message as M, reader: new PayloadReader(sizes) };
      piece = rest[1];
    }
    const { message, reader } = this.#pending!;
    if (piece !== undefined) reader.push(piece);
    if (!reader.complete) return undefined;
    this.#pending = undefined;
    return { message, values: reader.values };
  }
}

/** Reads a message that stands outside any numbering and has no values; `undefined` where it is none. */
export function readSingle<M>(frames: readonly Uint8Array[]): M | undefined {
  try {
    return new MessageReader<M>().read(frames)?.message;
  } catch {
    return undefined;
  }
}

const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
