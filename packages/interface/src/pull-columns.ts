import type { NeedsColumns, PlacesColumns } from './pull-values.ts';

/** The parts of tensors that a worker keeps, as numbers. Columns of boxes have equal lengths. */
export interface Needs {
  readonly tensor: Uint32Array;
  readonly offsetBytes: Float64Array;
  readonly rows: Float64Array;
  readonly rowBytes: Float64Array;
  readonly pitchBytes: Float64Array;
  /** Tensors that the worker needs as a whole. */
  readonly rest: Uint32Array;
}

/** Locations of tensor ranges, as numbers in columns of equal length. */
export interface Places {
  readonly tensor: Uint32Array;
  readonly tensorOffsetBytes: Float64Array;
  readonly sizeBytes: Float64Array;
  readonly region: Uint32Array;
  readonly offsetBytes: Float64Array;
}

/** Encodes whole numbers from 0 to 2^32 - 1. */
export function encodeU32(values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < values.length; at++) view.setUint32(at * 4, values[at]!, true);
  return bytes;
}

/** Encodes whole numbers from 0 to 2^53 - 1. */
export function encodeU64(values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < values.length; at++) {
    view.setUint32(at * 8, values[at]! % 2 ** 32, true);
    view.setUint32(at * 8 + 4, Math.floor(values[at]! / 2 ** 32), true);
  }
  return bytes;
}

/** Decodes a column of u32. @throws {RangeError} The column ends within a number. */
export function decodeU32(bytes: Uint8Array): Uint32Array {
  if (bytes.byteLength % 4 !== 0)
    throw new RangeError(`a column of ${bytes.byteLength} bytes, expected a multiple of 4`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.byteLength / 4 }, (_, at) => view.getUint32(at * 4, true));
}

/**
 * Decodes a column of u64.
 *
 * @throws {RangeError} The column ends within a number, or a number is larger than 2^53 - 1.
 */
export function decodeU64(bytes: Uint8Array): Float64Array {
  if (bytes.byteLength % 8 !== 0)
    throw new RangeError(`a column of ${bytes.byteLength} bytes, expected a multiple of 8`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array(bytes.byteLength / 8);
  for (let at = 0; at < values.length; at++) {
    const high = view.getUint32(at * 8 + 4, true);
    if (high >= 2 ** 21) throw new RangeError(`a number of ${high} x 2^32 or more, expected at most 2^53 - 1`);
    values[at] = high * 2 ** 32 + view.getUint32(at * 8, true);
  }
  return values;
}

/** Encodes digests. */
export function encodeDigests(values: ArrayLike<bigint>): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < values.length; at++) view.setBigUint64(at * 8, values[at]!, true);
  return bytes;
}

/** Decodes a column of digests. @throws {RangeError} The column ends within a number. */
export function decodeDigests(bytes: Uint8Array): BigUint64Array {
  if (bytes.byteLength % 8 !== 0)
    throw new RangeError(`a column of ${bytes.byteLength} bytes, expected a multiple of 8`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return BigUint64Array.from({ length: bytes.byteLength / 8 }, (_, at) => view.getBigUint64(at * 8, true));
}

/** Windows of tensors, as numbers in columns of equal length. */
export interface Windows {
  readonly tensor: Uint32Array;
  readonly offsetBytes: Float64Array;
  readonly sizeBytes: Float64Array;
}

/**
 * Decodes windows from columns, and checks that they are in order inside existing tensors.
 *
 * @param sizesBytes Sizes of the tensors, by index.
 * @throws {RangeError} The columns differ in length, or a window is invalid.
 */
export function decodeWindows(
  columns: { readonly tensor: Uint8Array; readonly offset: Uint8Array; readonly size: Uint8Array },
  sizesBytes: ArrayLike<number>,
): Windows {
  const tensor = decodeU32(columns.tensor);
  const offsetBytes = decodeU64(columns.offset);
  const sizeBytes = decodeU64(columns.size);
  if (offsetBytes.length !== tensor.length || sizeBytes.length !== tensor.length) {
    throw new RangeError('columns of windows that differ in length');
  }
  for (let at = 0; at < tensor.length; at++) {
    const index = tensor[at]!;
    const end = offsetBytes[at]! + sizeBytes[at]!;
    if (!(end <= (sizesBytes[index] ?? -1))) {
      throw new RangeError(
        `a window that ends at byte ${end} of tensor ${index}, which has ${sizesBytes[index] ?? 'none'}`,
      );
    }
    const before = at - 1;
    const isOrdered =
      at === 0 ||
      tensor[before]! < index ||
      (tensor[before] === index && offsetBytes[before]! + sizeBytes[before]! <= offsetBytes[at]!);
    if (!isOrdered) throw new RangeError(`a window of tensor ${index} out of order, or one that overlaps another`);
  }
  return { tensor, offsetBytes, sizeBytes };
}

/** Encodes needs into columns. */
export function encodeNeeds({ tensor, offsetBytes, rows, rowBytes, pitchBytes, rest }: Needs): NeedsColumns {
  return {
    tensor: encodeU32(tensor),
    offset: encodeU64(offsetBytes),
    rows: encodeU64(rows),
    rowBytes: encodeU64(rowBytes),
    pitch: encodeU64(pitchBytes),
    rest: encodeU32(rest),
  };
}

/**
 * Decodes needs from columns, without checking them against tensors.
 *
 * @throws {RangeError} The columns differ in length.
 */
export function decodeNeeds({ tensor, offset, rows, rowBytes, pitch, rest }: NeedsColumns): Needs {
  const needs = {
    tensor: decodeU32(tensor),
    offsetBytes: decodeU64(offset),
    rows: decodeU64(rows),
    rowBytes: decodeU64(rowBytes),
    pitchBytes: decodeU64(pitch),
    rest: decodeU32(rest),
  };
  const { length } = needs.tensor;
  const isEqual = [needs.offsetBytes, needs.rows, needs.rowBytes, needs.pitchBytes].every(
    (column) => column.length === length,
  );
  if (!isEqual) throw new RangeError('columns of needs that differ in length');
  return needs;
}

/** Encodes places into columns. */
export function encodePlaces({ tensor, tensorOffsetBytes, sizeBytes, region, offsetBytes }: Places): PlacesColumns {
  return {
    tensor: encodeU32(tensor),
    tensorOffset: encodeU64(tensorOffsetBytes),
    size: encodeU64(sizeBytes),
    region: encodeU32(region),
    offset: encodeU64(offsetBytes),
  };
}

/** Decodes places from columns, without checking them. @throws {RangeError} The columns differ in length. */
export function decodePlaces({ tensor, tensorOffset, size, region, offset }: PlacesColumns): Places {
  const places = {
    tensor: decodeU32(tensor),
    tensorOffsetBytes: decodeU64(tensorOffset),
    sizeBytes: decodeU64(size),
    region: decodeU32(region),
    offsetBytes: decodeU64(offset),
  };
  const { length } = places.tensor;
  const isEqual = [places.tensorOffsetBytes, places.sizeBytes, places.region, places.offsetBytes].every(
    (column) => column.length === length,
  );
  if (!isEqual) throw new RangeError('columns of places that differ in length');
  return places;
}
