import type { SerializedError } from '@checkpoint-engine/interface';
import { type LocalSocket, MAX_LOCAL_SOCKET_BYTES } from './front/local-socket.ts';
import type { CallMessage, CallOp, ClientMessage, Hello, ServerMessage } from './protocol.ts';

type Fields = Readonly<Record<string, unknown>>;

const OPS: ReadonlySet<unknown> = new Set<CallOp>(['set', 'get', 'wait', 'add', 'barrier', 'allGather', 'abort']);
const MAX_RANKS = 65_536;
const MAX_NONCE_BYTES = 64;

/** Checks a hello, the only message that is accepted from an unknown client. @throws {TypeError} It is not one. */
export function parseHello(value: unknown): Hello {
  const fields = fieldsOf(value);
  const { t, protocol, rank, worldSize } = fields;
  if (t === 'hello' && isInteger(protocol) && isInteger(rank) && isInteger(worldSize)) {
    return { t, protocol, rank, worldSize };
  }
  throw malformed('hello', t);
}

/** Checks a message from a rank to the server. @throws {TypeError} It is not such a message. */
export function parseClientMessage(value: unknown): ClientMessage {
  const fields = fieldsOf(value);
  const isValid =
    fields.t === 'pong' ||
    fields.t === 'leave' ||
    (fields.t === 'proof' && fields.mac instanceof Uint8Array) ||
    (fields.t === 'open' && isText(fields.scope) && isRanks(fields.members)) ||
    (fields.t === 'close' && isText(fields.scope)) ||
    (fields.t === 'cancel' && isText(fields.scope) && isInteger(fields.id)) ||
    (fields.t === 'call' && isCall(fields));
  if (isValid) return value as ClientMessage;
  throw malformed('message to the store', fields.t);
}

/** Checks a message from the server to a rank. @throws {TypeError} It is not such a message. */
export function parseServerMessage(value: unknown): ServerMessage {
  const fields = fieldsOf(value);
  if (isAnswer(fields) || isNews(fields)) return value as ServerMessage;
  throw malformed('message of the store', fields.t);
}

/** Whether it is a message before or instead of the first answer to a call. */
function isNews({ t, nonce, local, server, heartbeatMs, lostAfterMs, generation, error, scope }: Fields): boolean {
  switch (t) {
    case 'challenge':
      return nonce instanceof Uint8Array && nonce.byteLength <= MAX_NONCE_BYTES && isOptional(local, isLocalSocket);
    case 'welcome':
      return isText(server) && isPeriod(heartbeatMs) && isPeriod(lostAfterMs) && isInteger(generation);
    case 'refused':
      return isError(error);
    case 'ping':
    case 'bye':
      return true;
    case 'held':
      return isPeriod(heartbeatMs);
    case 'failed':
      return isText(scope) && isInteger(generation) && isError(error);
    case 'renewed':
      return isInteger(generation);
    case 'fenced':
      return isText(server);
    default:
      return false;
  }
}

/** Whether it is the answer to a call. */
function isAnswer({ t, id, value, found, error, missing, absent }: Fields): boolean {
  if (!isInteger(id)) return false;
  if (t === 'result') return isOptional(value, isInteger) && isOptional(found, isBoolean);
  return (t === 'failure' && isError(error)) || (t === 'cancelled' && isRanks(missing) && isRanks(absent));
}

function isCall(fields: Fields): fields is Fields & CallMessage {
  const { id, op, scope, generation, key, delta, from, to, error } = fields;
  return (
    isInteger(id) &&
    OPS.has(op) &&
    isText(scope) &&
    isInteger(generation) &&
    isText(key) &&
    isOptional(delta, isInteger) &&
    isOptional(from, isRanks) &&
    isOptional(to, isRanks) &&
    (op === 'abort' ? isError(error) : error === undefined)
  );
}

function isError(value: unknown): value is SerializedError {
  const { code, message, hint } = fieldsOf(value);
  return isText(code) && isText(message) && isText(hint);
}

function isLocalSocket(value: unknown): value is LocalSocket {
  const { path, file } = fieldsOf(value);
  return isShortText(path) && isShortText(file);
}

function isRanks(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_RANKS && value.every((rank) => isInteger(rank) && rank >= 0);
}

/** Milliseconds that a timer takes. */
const isPeriod = (value: unknown): value is number => typeof value === 'number' && value > 0 && value < 2 ** 31;
const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isShortText = (value: unknown): value is string => isText(value) && value.length <= MAX_LOCAL_SOCKET_BYTES;
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isOptional = <T>(value: unknown, isOne: (one: unknown) => one is T): boolean =>
  value === undefined || isOne(value);
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

const malformed = (what: string, t: unknown): TypeError =>
  new TypeError(`A ${what} is malformed${isText(t) ? `: "${t.slice(0, 20)}"` : ''}`);
