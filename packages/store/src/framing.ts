import type { MsgpackLimits } from '@checkpoint-engine/interface/wire';
import { encode } from '@msgpack/msgpack';
import { decodeBounded } from './decode-bounded.ts';
import { EMPTY_PAYLOAD, type Payload, PayloadReader } from './payload.ts';

/**
 * One message on the wire: an envelope `[sequence number, kind]`, then for the first one the message with the sizes of
 * its values, then at most one piece of them. Later pieces follow in separate messages; beats may come between them.
 */
type Envelope = readonly [sequence: number, kind: Kind];
type Kind = typeof FIRST | typeof PIECE | typeof BEAT;

const FIRST = 0;
const PIECE = 1;
const BEAT = 2;

/** Frames per message: envelope, message and piece. */
const MAX_FRAMES = 3;
const ENVELOPE_LIMITS: MsgpackLimits = { maxBytes: 16, maxDepth: 1, maxValues: 2 };
/**
 * Limits for a message, with the sizes of its values, from a sender that has not proved its identity: a hello or a
 * proof.
 */
export const UNAUTHENTICATED_LIMITS: MsgpackLimits = { maxBytes: 256, maxDepth: 2, maxValues: 16 };
/** Limits for a message, with the sizes of its values, from a member: an error with its causes, ranks, a key. */
export const MEMBER_LIMITS: MsgpackLimits = { maxBytes: 2 * 2 ** 20, maxDepth: 32, maxValues: 200_000 };

/** A complete message and its values. */
export interface Received<M> {
  readonly message: M;
  readonly values: readonly Uint8Array[];
}

/** Messages were lost, or did not come from this protocol. */
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

  /** A heartbeat. Unlike other messages, it may overtake messages that wait. */
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

/** Checks a decoded message and returns it with its type. @throws {TypeError} It is not a message. */
export type Parse<M> = (value: unknown) => M;

/** Reads the output of a {@link MessageWriter}, and detects missing parts. */
export class MessageReader<M> {
  /** Limits for the cost of a message. Raise them once the sender has proved its identity. */
  limits: MsgpackLimits = UNAUTHENTICATED_LIMITS;
  readonly #parse: Parse<M>;
  #sequence = 0;
  #pending: { message: M; reader: PayloadReader } | undefined;

  constructor(parse: Parse<M>) {
    this.#parse = parse;
  }

  /**
   * Takes one wire message. Returns the complete message after its last piece, and `undefined` for a heartbeat.
   *
   * @throws {FramingError} A part is missing or malformed. The session cannot continue.
   */
  read(frames: readonly Uint8Array[]): Received<M> | undefined {
    try {
      if (frames.length > MAX_FRAMES) throw new FramingError(`A message has ${frames.length} frames`);
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
      if (this.#pending !== undefined) throw new FramingError('A message began before the previous one was complete');
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

/** Reads a message outside any numbering and without values. Returns `undefined` if it is not one. */
export function readSingle<M>(
  frames: readonly Uint8Array[],
  parse: Parse<M>,
  limits: MsgpackLimits = UNAUTHENTICATED_LIMITS,
): M | undefined {
  try {
    const reader = new MessageReader<M>(parse);
    reader.limits = limits;
    return reader.read(frames)?.message;
  } catch {
    return undefined;
  }
}

/** Whether frames start with an envelope, so that their sender uses this protocol. */
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
