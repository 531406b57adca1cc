import type { DType } from './dtype.ts';
import { LENGTH_BYTES, MAX_HEADER_BYTES } from './safetensors-header.ts';
import { tensorBytes } from './tensor-bytes.ts';

/** A tensor to write. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * Encodes the beginning of a safetensors file: the length of the header and the header, padded with spaces to a
 * multiple of 8 bytes. The caller writes the tensor bytes after it, in the given order and without gaps.
 *
 * @throws {TypeError} A name is used twice, is `__metadata__`, or is not well-formed Unicode.
 * @throws {RangeError} A shape has no byte size (see {@link tensorBytes}), or the header exceeds 100 MB.
 */
export function encodeSafetensorsHeader(
  tensors: readonly TensorSpec[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const names = new Set(['__metadata__']);
  const members: string[] = [];
  if (metadata !== undefined) {
    const pairs = Object.entries(metadata).map(([key, value]) => `${quote(key)}:${quote(value)}`);
    members.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw new TypeError(`Tensor name ${quote(name)} is taken, expected each name once`);
    names.add(name);
    const end = begin + tensorBytes(dtype, shape);
    if (end > Number.MAX_SAFE_INTEGER) throw new RangeError(`Tensor ${quote(name)} ends past 2^53 bytes`);
    members.push(`${quote(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`);
    begin = end;
  }
  const header = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(header.length / 8) * 8;
  if (length > MAX_HEADER_BYTES)
    throw new RangeError(`Header of ${length} bytes, expected at most ${MAX_HEADER_BYTES}`);
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(header, LENGTH_BYTES);
  return bytes;
}

function quote(text: string): string {
  if (/\p{Surrogate}/u.test(text)) throw new TypeError(`String ${JSON.stringify(text)} has a lone surrogate`);
  return JSON.stringify(text);
}
