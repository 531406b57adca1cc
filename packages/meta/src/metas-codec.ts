import { createHash } from 'node:crypto';
import { checkMsgpack } from '@checkpoint-engine/interface/wire';
import { decode, encode } from '@msgpack/msgpack';
import { checkRankMetas, checkRanks } from './metas-check.ts';
import { COLUMNS, type Columns } from './metas-columns.ts';
import { decodeColumns, readCheckpoint } from './metas-decoder.ts';
import { encodeDigests, withDigests } from './metas-digests.ts';
import { encodeColumns } from './metas-encoder.ts';
import { invalidMetas } from './metas-error.ts';
import { encodeWeightVersion, withWeightVersion } from './metas-weight-version.ts';
import type { RankMetas } from './parameter-meta.ts';

/** The first byte of a Python pickle. */
const PICKLE = 0x80;
const MAGIC = new TextEncoder().encode('CEMT');
const VERSION = 1;
/** Also has a column of digests. Written only if a rank has digests, so that older releases can read the rest. */
const VERSION_WITH_DIGESTS = 2;
/** Also has a column with the version of the weights. Written only if there is one, for the same reason. */
const VERSION_WITH_WEIGHT_VERSION = 3;
/** By version of the encoding, the number of columns. */
const COLUMN_COUNTS: ReadonlyMap<number | undefined, number> = new Map([
  [VERSION, COLUMNS.length],
  [VERSION_WITH_DIGESTS, COLUMNS.length + 1],
  [VERSION_WITH_WEIGHT_VERSION, COLUMNS.length + 2],
]);
const DIGEST_BYTES = 32;
const DIGEST_OFFSET = MAGIC.length + 1;
const PAYLOAD_OFFSET = DIGEST_OFFSET + DIGEST_BYTES;

/**
 * Encodes the metas of one rank as magic, version, SHA-256, and a msgpack array of columns.
 *
 * @throws `CE_METAS_INVALID` The metas violate the invariants of {@link RankMetas}.
 */
export function encodeRankMetas(metas: RankMetas): Uint8Array {
  return encodeWorldMetas([metas]);
}

/**
 * Decodes the result of {@link encodeRankMetas}.
 *
 * @throws `CE_METAS_INVALID` The bytes are not metas, have another version, are truncated or changed, or are not those
 *   of one rank.
 */
export function decodeRankMetas(bytes: Uint8Array): RankMetas {
  const world = decodeWorldMetas(bytes);
  const [metas] = world;
  if (metas === undefined || world.length > 1) throw invalidMetas(`they belong to ${world.length} ranks, expected one`);
  if (bytes[MAGIC.length] === VERSION) digests.set(metas, bytes.slice(DIGEST_OFFSET, PAYLOAD_OFFSET));
  return metas;
}

/**
 * Encodes the metas of a world; data that its ranks have in common is stored once. The order is kept.
 *
 * @throws `CE_METAS_INVALID` The metas violate the invariants of {@link RankMetas}, or a rank appears twice.
 */
export function encodeWorldMetas(metas: readonly RankMetas[]): Uint8Array {
  const digestColumn = encodeDigests(metas);
  const versionColumn = encodeWeightVersion(metas);
  const further = versionColumn === undefined ? [digestColumn] : [digestColumn ?? NO_DIGESTS, versionColumn];
  const columns = further.filter((column) => column !== undefined);
  const payload = encodePayload(metas, columns);
  const bytes = new Uint8Array(PAYLOAD_OFFSET + payload.length);
  bytes.set(MAGIC);
  bytes[MAGIC.length] = [VERSION, VERSION_WITH_DIGESTS, VERSION_WITH_WEIGHT_VERSION][columns.length]!;
  bytes.set(createHash('sha256').update(payload).digest(), DIGEST_OFFSET);
  bytes.set(payload, PAYLOAD_OFFSET);
  return bytes;
}

/**
 * Decodes the result of {@link encodeWorldMetas} or {@link encodeRankMetas}. Tensors of equal dtype and shape share one
 * shape array.
 *
 * @throws `CE_METAS_INVALID` The bytes are not metas, have another version, or are truncated or changed.
 */
export function decodeWorldMetas(bytes: Uint8Array): RankMetas[] {
  const { columns, digestColumn = NO_DIGESTS, versionColumn } = openPayload(bytes);
  const world = decodeColumns(columns);
  checkRanks(world);
  const digested = digestColumn.length === 0 ? world : withDigests(world, digestColumn);
  return versionColumn === undefined ? digested : withWeightVersion(digested, versionColumn);
}

const NO_DIGESTS = new Uint8Array(0);

/**
 * Reads which checkpoint encoded metas describe, without decoding or checking the rest. The call is cheap for metas of
 * any size.
 *
 * @returns The checkpoint of the first rank, or undefined for metas of no rank.
 * @throws `CE_METAS_INVALID` The bytes do not have the form of metas.
 */
export function checkpointOfMetas(bytes: Uint8Array): string | undefined {
  return readCheckpoint(readPayload(bytes).columns);
}

/** SHA-256 of each rank's encoded metas. Callers must not change metas, so each is encoded once. */
const digests = new WeakMap<RankMetas, Uint8Array>();

/**
 * Returns the SHA-256 of metas, in hex. Equal metas have equal digests, for any order of ranks. The digests
 * of the tensors' bytes are not covered: with other bytes in the same places an update has the same plan. The call is
 * cheap for metas that {@link decodeRankMetas} returned, because decoding checks and digests them.
 *
 * @throws `CE_METAS_INVALID` The metas violate the invariants of {@link RankMetas}, or a rank appears twice.
 */
export function metasDigest(metas: readonly RankMetas[]): string {
  checkRanks(metas);
  const hash = createHash('sha256');
  for (const rank of [...metas].sort((a, b) => a.rank - b.rank)) hash.update(rankDigest(rank));
  return hash.digest('hex');
}

function rankDigest(metas: RankMetas): Uint8Array {
  let digest = digests.get(metas);
  if (digest === undefined) {
    digest = createHash('sha256')
      .update(encodePayload([metas]))
      .digest();
    digests.set(metas, digest);
  }
  return digest;
}

function encodePayload(metas: readonly RankMetas[], further: readonly Uint8Array[] = []): Uint8Array {
  checkRanks(metas);
  for (const rank of metas) checkRankMetas(rank);
  const columns = encodeColumns(metas);
  return encode([...COLUMNS.map((name) => columns[name]), ...further]);
}

interface Payload {
  readonly columns: Columns;
  readonly digestColumn: Uint8Array | undefined;
  readonly versionColumn: Uint8Array | undefined;
}

function openPayload(bytes: Uint8Array): Payload {
  checkHead(bytes);
  const digest = createHash('sha256').update(bytes.subarray(PAYLOAD_OFFSET)).digest();
  if (bytes.length < PAYLOAD_OFFSET || digest.some((byte, index) => bytes[DIGEST_OFFSET + index] !== byte)) {
    throw invalidMetas('the SHA-256 differs: the bytes are truncated or changed');
  }
  return readPayload(bytes);
}

function checkHead(bytes: Uint8Array): void {
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) {
    if (bytes[0] === PICKLE) {
      throw invalidMetas('the bytes are a Python pickle, as the Python tool writes its metas', {
        hint: 'Save the metas with this tool: checkpoint-engine update --save-metas-file',
      });
    }
    throw invalidMetas('the bytes do not begin with "CEMT"', { hint: 'Check that the bytes are metas' });
  }
  const version = bytes[MAGIC.length];
  if (!COLUMN_COUNTS.has(version)) {
    throw invalidMetas(
      `the version is ${version ?? 'missing'}, expected version ${VERSION}, ${VERSION_WITH_DIGESTS} or ${VERSION_WITH_WEIGHT_VERSION}`,
      { hint: 'Use the same version of checkpoint-engine on all ranks, and write metas files with it' },
    );
  }
}

function readPayload(bytes: Uint8Array): Payload {
  checkHead(bytes);
  const columns = decodePayload(bytes.subarray(PAYLOAD_OFFSET));
  const count = COLUMN_COUNTS.get(bytes[MAGIC.length]);
  if (!Array.isArray(columns) || columns.length !== count || !columns.every((c) => c instanceof Uint8Array)) {
    throw invalidMetas(`the payload is not an array of ${count} columns`);
  }
  return {
    columns: Object.fromEntries(COLUMNS.map((name, index) => [name, columns[index]])) as Columns,
    digestColumn: columns[COLUMNS.length],
    versionColumn: columns[COLUMNS.length + 1],
  };
}

function decodePayload(payload: Uint8Array): unknown {
  try {
    checkMsgpack(payload, { maxBytes: Number.POSITIVE_INFINITY, maxDepth: 1, maxValues: COLUMNS.length + 3 });
    return decode(payload);
  } catch (cause) {
    throw invalidMetas('the payload is not msgpack', { cause });
  }
}
