import {
  CheckpointEngineError,
  type ErrorCode,
  isWeightVersion,
  type PlacesColumns,
  type PullIntent,
  type PullRegion,
  type ServerMessage,
  type TensorColumns,
  WORKER_PROTOCOL_VERSION,
} from '@checkpoint-engine/interface';
import { ENDED_BY_SERVER } from '@checkpoint-engine/interface/shared';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks a message of the server before it is used.
 *
 * @throws `CE_WORKER_PROTOCOL` naming both versions.
 */
export function readServerMessage(value: unknown): ServerMessage {
  const fields: Fields = typeof value === 'object' && value !== null ? (value as Fields) : {};
  const { type } = fields;
  const isValid =
    type === 'release' ||
    (type === 'finish' && (fields.confirms === undefined || typeof fields.confirms === 'boolean')) ||
    (type === 'confirm' && isText(fields.version) && isWeightVersion(fields.version)) ||
    (type === 'welcome' && isWelcome(fields)) ||
    (type === 'prove' && isProve(fields)) ||
    (type === 'bucket' && isCount(fields.index) && isColumns(fields.tensors)) ||
    (type === 'survey' && isSurvey(fields)) ||
    (type === 'metas' && isPart(fields) && isMetas(fields)) ||
    (type === 'regions' && isPart(fields) && isRegions(fields)) ||
    (type === 'pull' && isCount(fields.index) && (fields.places === undefined || isPlaces(fields.places))) ||
    (type === 'digest' && isDigest(fields)) ||
    (type === 'bye' && typeof fields.keep === 'boolean') ||
    (type === 'abort' && typeof fields.error === 'object' && fields.error !== null);
  if (isValid) return value as ServerMessage;
  const named = typeof type === 'string' ? `a message "${type.slice(0, 40)}"` : 'a message without a type';
  throw serverBroke(`${named} that protocol ${WORKER_PROTOCOL_VERSION} does not have in this form`, fields.protocol);
}

/** Creates the error for a server that violates the protocol. */
export function serverBroke(what: string, spoken?: unknown, cause?: unknown): CheckpointEngineError {
  const version = typeof spoken === 'number' ? spoken : WORKER_PROTOCOL_VERSION;
  return new CheckpointEngineError(
    'CE_WORKER_PROTOCOL',
    `The parameter server sent ${what}; this worker uses protocol ${WORKER_PROTOCOL_VERSION}, the server ${version}`,
    'Install the same release of @checkpoint-engine/worker and @checkpoint-engine/ps on both sides',
    { cause },
  );
}

/** Codes about this worker rather than the update, which are passed on unchanged. */
const OWN_CODES: ReadonlySet<string> = new Set(['CE_TOKEN_REFUSED', 'CE_WORKER_PROTOCOL']);

/** The error that the server ended the update with. */
export function serverAborted(error: object): CheckpointEngineError {
  const { code, message, hint, detail } = error as Fields;
  const reported = new CheckpointEngineError(
    (typeof code === 'string' ? code : 'CE_INTERNAL') as ErrorCode,
    typeof message === 'string' ? message : 'It reported no reason',
    typeof hint === 'string' ? hint : "Check the parameter server's log",
    { detail: typeof detail === 'string' ? detail : undefined },
  );
  if (OWN_CODES.has(reported.code)) return reported;
  return new CheckpointEngineError(
    'CE_REMOTE_FAILED',
    `${ENDED_BY_SERVER}: ${reported.message}`,
    'Run the update again after fixing the cause; the weights of this engine are partly old and partly new until then',
    { cause: reported },
  );
}

function isWelcome(fields: Fields): boolean {
  return (
    fields.protocol === WORKER_PROTOCOL_VERSION &&
    typeof fields.checkpoint === 'string' &&
    typeof fields.updateId === 'string' &&
    typeof fields.deviceKind === 'string' &&
    typeof fields.deviceUuid === 'string' &&
    fields.handle instanceof Uint8Array &&
    isCount(fields.rank) &&
    isPositive(fields.sizeBytes) &&
    isPositive(fields.slots) &&
    (fields.bufferStays === undefined || typeof fields.bufferStays === 'boolean')
  );
}

function isProve({ places, more }: Fields): boolean {
  return (places === undefined || isPlaces(places)) && (more === undefined || typeof more === 'boolean');
}

function isDigest({ index, tensor, offset, size }: Fields): boolean {
  return isCount(index) && [tensor, offset, size].every((column) => column instanceof Uint8Array);
}

const INTENTS: ReadonlySet<unknown> = new Set<PullIntent>(['update', 'prepare', 'verify']);

function isSurvey(fields: Fields): boolean {
  return (
    fields.protocol === WORKER_PROTOCOL_VERSION &&
    INTENTS.has(fields.intent) &&
    ['checkpoint', 'updateId', 'deviceKind', 'deviceUuid', 'metasDigest'].every((name) => isText(fields[name])) &&
    isCount(fields.rank) &&
    isCount(fields.tensorCount) &&
    (fields.version === undefined || isText(fields.version))
  );
}

function isPart({ part, parts }: Fields): boolean {
  return isCount(part) && isCount(parts) && part < parts;
}

function isMetas({ names, dtypes, shapes, sizes }: Fields): boolean {
  return (
    isListOf(names, isText) &&
    isListOf(dtypes, isText, names.length) &&
    isListOf(shapes, isShape, names.length) &&
    isListOf(sizes, isCount, names.length)
  );
}

function isRegions({ layoutDigest, regions, places }: Fields): boolean {
  return isText(layoutDigest) && isListOf(regions, isRegion) && (places === undefined || isPlaces(places));
}

function isRegion(value: unknown): value is PullRegion {
  if (typeof value !== 'object' || value === null) return false;
  const { id, handle, sizeBytes } = value as Fields;
  return isCount(id) && id < 2 ** 32 && handle instanceof Uint8Array && isCount(sizeBytes) && sizeBytes > 0;
}

function isPlaces(value: unknown): value is PlacesColumns {
  if (typeof value !== 'object' || value === null) return false;
  const columns = value as Fields;
  return ['tensor', 'tensorOffset', 'size', 'region', 'offset'].every((name) => columns[name] instanceof Uint8Array);
}

function isColumns(value: unknown): value is TensorColumns {
  if (typeof value !== 'object' || value === null) return false;
  const { names, dtypes, shapes, offsets, sizes } = value as Fields;
  return (
    isListOf(names, isText) &&
    isListOf(dtypes, isText, names.length) &&
    isListOf(shapes, isShape, names.length) &&
    isListOf(offsets, isCount, names.length) &&
    isListOf(sizes, isCount, names.length)
  );
}

function isListOf<T>(value: unknown, isOne: (one: unknown) => one is T, length?: number): value is T[] {
  return Array.isArray(value) && (length === undefined || value.length === length) && value.every(isOne);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isPositive = (value: unknown): value is number => isCount(value) && value > 0;
const isShape = (value: unknown): value is number[] => isListOf(value, isCount);
