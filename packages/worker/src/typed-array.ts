/** The JavaScript arrays for tensors. */
export type TypedArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

type Viewer = (bytes: Uint8Array) => TypedArray;

/** Views by safetensors names, without dtypes that have no JavaScript array (BF16, F16, F8 and smaller types). */
const VIEWERS: ReadonlyMap<string, Viewer> = new Map<string, Viewer>([
  ['I8', (b) => new Int8Array(b.buffer, b.byteOffset, b.byteLength)],
  ['U16', (b) => new Uint16Array(b.buffer, b.byteOffset, b.byteLength / 2)],
  ['I16', (b) => new Int16Array(b.buffer, b.byteOffset, b.byteLength / 2)],
  ['U32', (b) => new Uint32Array(b.buffer, b.byteOffset, b.byteLength / 4)],
  ['I32', (b) => new Int32Array(b.buffer, b.byteOffset, b.byteLength / 4)],
  ['U64', (b) => new BigUint64Array(b.buffer, b.byteOffset, b.byteLength / 8)],
  ['I64', (b) => new BigInt64Array(b.buffer, b.byteOffset, b.byteLength / 8)],
  ['F32', (b) => new Float32Array(b.buffer, b.byteOffset, b.byteLength / 4)],
  ['F64', (b) => new Float64Array(b.buffer, b.byteOffset, b.byteLength / 8)],
]);

/**
 * Views bytes as numbers of a dtype, without a copy. Dtypes without a JavaScript array stay bytes.
 *
 * @throws {RangeError} The bytes are not aligned to the dtype's size, or are not a multiple of it.
 */
export function viewAs(dtype: string, bytes: Uint8Array): TypedArray {
  return VIEWERS.get(dtype)?.(bytes) ?? bytes;
}
