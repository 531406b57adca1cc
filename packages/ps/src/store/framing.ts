import type { MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { encode } from '@msgpack/msgpack';
import { decodeBounded } from '../util/decode-bounded.ts';
import { EMPTY_PAYLOAD, type Payload, PayloadReader } from './payload.ts';

/**
 * One message on the wire: an envelope `[sequence number, kind]`, then for a first one the message with the sizes of its
 * values, then at most one piece of them. Later pieces follow in messages of their own; beats may come between them.
 */
type Envelope = readonly [sequence: number, kind: Kind];
type Kind = typeof FIRST | typeof PIECE | typeof BEAT;

const FIRST = 0;
const PIECE = 1;
const BEAT = 2;

/** Envelope, message and piece. */
const MOST_FRAMES = 3;
const ENVELOPE_LIMITS: MsgpackLimits = { maxBytes: 16, maxDepth: 1, maxValues: 2 };
/** Of a message, with the sizes of its values, from a sender that has not proved who it is: a hello or a proof. */
export const STRANGER_LIMITS: MsgpackLimits = { maxBytes: 256, maxDepth: 2, maxValues: 16 };
/** Of a message, with the sizes of its values, from a member of the world: an error with its causes, ranks, a key. */
export const MEMBER_LIMITS: MsgpackLimits = { maxBytes: 2 * 2 ** 20, maxDepth: 32, maxValues: 200_000 };

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

/** Checks a decoded message and gives it its type. @throws {TypeError} It is not a message. */
export type Parse<M> = (value: unknown) => M;

/** Reads what a {@link MessageWriter} wrote, and notices when something is missing. */
export class MessageReader<M> {
  /** What a message may cost. Raise it once the sender has proved who it is. */
  limits: MsgpackLimits = STRANGER_LIMITS;
  readonly #parse: Parse<M>;
  #sequence = 0;
  #pending: { message: M; reader: PayloadReader } | undefined;

  constructor(parse: Parse<M>) {
    this.#parse = parse;
  }

  /**
   * Takes one wire message; gives the whole message once its last piece is here, and nothing for a beat.
   *
   * @throws {FramingError} Something is missing or malformed; the session cannot go on.
   */
  read(frames: readonly Uint8Array[]): Received<M> | undefined {
    try {
      if (frames.length > MOST_FRAMES) throw new FramingError(`A message has ${frames.length} frames`);
      return this.#read(frames.map(plain));
    } catch (cause) {
      if (cause instanceof FramingError) throw cause;
      throw new FramingError(`A message is malformed: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }

  #read([envelope, ...rest]: readonly Uint8Array[]): Received<M> | undefined {
    const [sequence, kind] = readEnvelope(envelope);
    if (sequence !== this.#sequence + 1) {
      throw new FramingError(`Message ${sequence} came after message ${this.#sequence}: messages were lost`);
    }
    this.#sequence = sequence;
    let piece: Uint8Array | undefined = rest[0];
    if (kind === BEAT) return undefined;
    if (kind === FIRST) {
      if (this.#pending !== undefined) throw new FramingError('A message began before the one before it was whole');
      this.#pending = this.#begin(rest[0]);
      piece = rest[1];
    }
    if (this.#pending === undefined) throw new FramingError('A piece came without a message');
    const { message, reader } = this.#pending;
    if (piece !== undefined) reader.push(piece);
    if (!reader.complete) return undefined;
    this.#pending = undefined;
    return { message, values: reader.values };
  }

  #begin(head: Uint8Array | undefined): { message: M; reader: PayloadReader } {
    if (head === undefined) throw new FramingError('A message has no content');
    const decoded = decodeBounded(head, this.limits);
    if (!Array.isArray(decoded) || decoded.length !== 2 || !Array.isArray(decoded[1])) {
      throw new FramingError('A message is not a pair of content and sizes');
    }
    return { message: this.#parse(decoded[0]), reader: new PayloadReader(decoded[1]) };
  }
}

/** Reads a message that stands outside any numbering and has no values; `undefined` where it is not one. */
export function readSingle<M>(
  frames: readonly Uint8Array[],
  parse: Parse<M>,
  limits: MsgpackLimits = STRANGER_LIMITS,
): M | undefined {
  try {
    const reader = new MessageReader<M>(parse);
    reader.limits = limits;
    return reader.read(frames)?.message;
  } catch {
    return undefined;
  }
}

/** Whether frames start with an envelope, so that their sender speaks this protocol. */
export function isFramed([envelope]: readonly Uint8Array[]): boolean {
  try {
    return readEnvelope(envelope) !== undefined;
  } catch {
    return false;
  }
}

function readEnvelope(bytes: Uint8Array | undefined): Envelope {
  const envelope = bytes && decodeBounded(plain(bytes), ENVELOPE_LIMITS);
  if (!Array.isArray(envelope) || envelope.length !== 2 || !envelope.every(Number.isSafeInteger)) {
    throw new FramingError('A message has no envelope');
  }
  const [sequence, kind] = envelope as [number, number];
  if (kind !== FIRST && kind !== PIECE && kind !== BEAT) throw new FramingError(`A message is of unknown kind ${kind}`);
  return [sequence, kind];
}

const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
