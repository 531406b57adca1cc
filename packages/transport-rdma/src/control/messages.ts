/**
 * Messages of the control channel: the reader says hello, both sides prove that they know the key, then the reader asks
 * for leases. The end of a connection releases its leases.
 */
export interface Hello {
  readonly incarnation: string;
  readonly nonce: string;
}

/**
 * The owner's answer to {@link Hello}. An owner with another incarnation sends no proof, because the key is not its
 * own.
 */
export type Welcome =
  | { readonly incarnation: string; readonly address: string; readonly nonce: string; readonly proof: string }
  | { readonly another: true };

/** The reader's answer to {@link Welcome}. */
export interface Entry {
  readonly proof: string;
}

/** A reader's request. */
export type Request =
  | {
      readonly op: 'lease';
      readonly id: number;
      /** Number, address and size of each range. */
      readonly ranges: readonly (readonly [number, string, number])[];
      /** After this time the owner need not wait for the reader any more. */
      readonly ttlMs: number;
    }
  | { readonly op: 'release'; readonly id: number; readonly lease: number };

/**
 * `lease`: the number of the lease, or the range that is not registered. `release`: whether the lease was valid until
 * then.
 */
export type Reply =
  | { readonly id: number; readonly lease: number }
  | { readonly id: number; readonly unknown: number }
  | { readonly id: number; readonly held: boolean };

export const maxHandshakeBytes: number = 1024;
/** Limit of a request or reply: the ranges of one lease, some 40,000. */
export const maxMessageBytes: number = 2 << 20;
/** Maximum number of leases that one reader may hold; it requests one for each read. */
const maxLeases = 65_536;

type Fields = Readonly<Record<string, unknown>>;

/** @throws {RangeError} It is not a hello. */
export function readHello(message: unknown): Hello {
  const { incarnation, nonce } = fieldsOf(message);
  if (isText(incarnation) && isText(nonce)) return { incarnation, nonce };
  throw new RangeError('A reader did not send a hello');
}

/** @throws {RangeError} It is not an answer to a hello. */
export function readWelcome(message: unknown): Welcome {
  const { another, incarnation, address, nonce, proof } = fieldsOf(message);
  if (another === true) return { another };
  if (isText(incarnation) && isText(address) && isText(nonce) && isText(proof)) {
    return { incarnation, address, nonce, proof };
  }
  throw new RangeError('An owner did not send a welcome');
}

/**
 * @param held Number of leases that the reader holds.
 * @throws {RangeError} It is not a request, or exceeds the leases.
 */
export function readRequest(message: unknown, held: number): Request {
  const { op, id, lease, ranges, ttlMs } = fieldsOf(message);
  const isValid =
    isCount(id) &&
    ((op === 'release' && isCount(lease)) ||
      (op === 'lease' && held < maxLeases && isCount(ttlMs) && Array.isArray(ranges) && ranges.every(isRange)));
  if (isValid) return message as Request;
  throw new RangeError('A reader did not send a valid request');
}

/** @throws {RangeError} It is not a reply. */
export function readReply(message: unknown): Reply {
  const { id, lease, unknown, held } = fieldsOf(message);
  if (isCount(id) && (isCount(lease) || isCount(unknown) || typeof held === 'boolean')) return message as Reply;
  throw new RangeError('An owner did not send a valid reply');
}

function isRange(value: unknown): value is Extract<Request, { op: 'lease' }>['ranges'][number] {
  return Array.isArray(value) && value.length === 3 && isCount(value[0]) && isText(value[1]) && isCount(value[2]);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});
