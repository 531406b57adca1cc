import { Buffer } from 'node:buffer';

// Flags of a frame.
const MORE = 0x01;
const LONG = 0x02;
const COMMAND = 0x04;

/** Size of a greeting. */
export const GREETING_BYTES = 64;
const SIGNATURE_FIRST = 0xff;
const SIGNATURE_LAST = 0x7f;
const SIGNATURE_LAST_AT = 9;
const VERSION_AT = 10;
const MECHANISM_AT = 12;
const MECHANISM_BYTES = 20;
const AS_SERVER_AT = 32;

/** How the two sides of a connection authenticate: not at all, or with keys. */
export type Mechanism = 'NULL' | 'CURVE';

/** The greeting of every peer with the mechanism NULL: without encryption and authentication. */
export function nullGreeting(): Uint8Array {
  return greeting('NULL');
}

/** The greeting of a server with the mechanism CURVE. */
export function curveServerGreeting(): Uint8Array {
  const bytes = greeting('CURVE');
  bytes[AS_SERVER_AT] = 1;
  return bytes;
}

function greeting(mechanism: Mechanism): Uint8Array {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes[0] = SIGNATURE_FIRST;
  bytes[8] = 1;
  bytes[SIGNATURE_LAST_AT] = SIGNATURE_LAST;
  bytes[VERSION_AT] = 3;
  bytes.write(mechanism, MECHANISM_AT);
  return bytes;
}

/**
 * Checks the start of a stream. Returns the size of the greeting, or `undefined` until it is complete.
 *
 * @throws {RangeError} It is not a greeting of ZMTP 3 with this mechanism; detected at the first wrong byte.
 */
export function readGreeting(bytes: Uint8Array, mechanism: Mechanism): number | undefined {
  const isAt = (at: number, isRight: (byte: number) => boolean): boolean => at >= bytes.length || isRight(bytes[at]!);
  const name = Buffer.alloc(MECHANISM_BYTES);
  name.write(mechanism);
  const isGreeting =
    isAt(0, (byte) => byte === SIGNATURE_FIRST) &&
    isAt(SIGNATURE_LAST_AT, (byte) => byte === SIGNATURE_LAST) &&
    isAt(VERSION_AT, (byte) => byte >= 3) &&
    name.every((wanted, at) => isAt(MECHANISM_AT + at, (byte) => byte === wanted));
  if (!isGreeting)
    throw new RangeError(`it does not use ZMTP 3 ${mechanism === 'NULL' ? 'without' : 'with'} encryption`);
  return bytes.length < GREETING_BYTES ? undefined : GREETING_BYTES;
}

/** The head of a frame. */
export interface FrameHead {
  readonly isCommand: boolean;
  readonly hasMore: boolean;
  /** Size of the head in bytes. */
  readonly headBytes: number;
  /** Size of the body in bytes. */
  readonly bodyBytes: number;
}

/** Reads the head of a frame; `undefined` until it has arrived. @throws {RangeError} It is malformed. */
export function readFrameHead(bytes: Uint8Array): FrameHead | undefined {
  const flags = bytes[0];
  if (flags === undefined) return undefined;
  if (flags > (MORE | LONG | COMMAND) || (flags & COMMAND && flags & MORE)) {
    throw new RangeError(`a frame with flags ${flags}`);
  }
  const isLong = (flags & LONG) !== 0;
  const headBytes = isLong ? 9 : 2;
  if (bytes.length < headBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  const bodyBytes = isLong ? Number(view.getBigUint64(1)) : view.getUint8(1);
  return { isCommand: (flags & COMMAND) !== 0, hasMore: (flags & MORE) !== 0, headBytes, bodyBytes };
}

function frameHead(flags: number, bodyBytes: number): Buffer {
  if (bodyBytes <= 0xff) return Buffer.from([flags, bodyBytes]);
  const head = Buffer.alloc(9);
  head[0] = flags | LONG;
  head.writeBigUInt64BE(BigInt(bodyBytes), 1);
  return head;
}

/** The pieces of a message on the wire, with its frames uncopied. */
export function messageBytes(frames: readonly Uint8Array[]): Uint8Array[] {
  return frames.flatMap((frame, at) => [frameHead(at < frames.length - 1 ? MORE : 0, frame.byteLength), frame]);
}

/** A command on the wire. */
export function commandBytes(name: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), data]);
  return Buffer.concat([frameHead(COMMAND, body.length), body]);
}

/** Reads a command's body. @throws {RangeError} It is malformed. */
export function readCommand(body: Uint8Array): { name: string; data: Uint8Array } {
  const end = 1 + (body[0] ?? 0);
  if (end === 1 || body.length < end) throw new RangeError('a command without a name');
  return { name: Buffer.from(body.subarray(1, end)).toString('latin1'), data: body.subarray(end) };
}

/** The properties that a peer sends when it is ready. */
export function properties(entries: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts = Object.entries(entries).flatMap(([name, value]) => {
    const sizeBytes = Buffer.alloc(4);
    sizeBytes.writeUInt32BE(value.byteLength);
    return [Buffer.from([name.length]), Buffer.from(name), sizeBytes, value];
  });
  return Buffer.concat(parts);
}

/** Reads {@link properties}; names in lower case. @throws {RangeError} They are malformed. */
export function readProperties(data: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const nameEnd = at + 1 + bytes[at]!;
    const valueAt = nameEnd + 4;
    const valueEnd = valueAt <= bytes.length ? valueAt + bytes.readUInt32BE(nameEnd) : Number.POSITIVE_INFINITY;
    if (valueEnd > bytes.length) throw new RangeError('a property that is cut off');
    found.set(bytes.toString('latin1', at + 1, nameEnd).toLowerCase(), data.subarray(valueAt, valueEnd));
    at = valueEnd;
  }
  return found;
}
