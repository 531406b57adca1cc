import { DTYPES, type DType, isDType } from './dtype.ts';
import { invalidFile, truncatedFile } from './file-errors.ts';
import { JsonReader } from './json-reader.ts';
import type { SafetensorsFile, TensorEntry } from './safetensors-file.ts';
import { tensorBytes } from './tensor-bytes.ts';

/** Bytes of the header's length at the start of a file: a little-endian u64. */
export const LENGTH_BYTES = 8;
/** Longest header that the format allows. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Which file the bytes are of. */
export interface HeaderSource {
  /** For errors and the entries. */
  readonly path: string;
  /** Size of the whole file, of which the bytes are the beginning. */
  readonly fileSizeBytes: number;
}

/** A tensor as the header has it: offsets count from the end of the header. */
interface RawTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads where the tensors begin from the length at the start of a file.
 *
 * @param bytes At least the first 8 bytes of the file, or all it has.
 * @throws `CE_FILE_TRUNCATED`, `CE_FILE_INVALID`
 */
export function readDataOffset(bytes: Uint8Array, { path, fileSizeBytes }: HeaderSource): number {
  if (bytes.length < LENGTH_BYTES || fileSizeBytes < LENGTH_BYTES) {
    const has = Math.min(bytes.length, fileSizeBytes);
    throw truncatedFile(path, `has ${has} bytes, want at least the ${LENGTH_BYTES} of the header's length`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw invalidFile(path, `the header's length is ${length} bytes, want at most ${MAX_HEADER_BYTES}`, {
      hint: 'Look whether this is a safetensors file at all',
    });
  }
  const dataOffsetBytes = LENGTH_BYTES + Number(length);
  if (dataOffsetBytes > fileSizeBytes) {
    throw truncatedFile(path, `the header ends at byte ${dataOffsetBytes}, and the file has ${fileSizeBytes}`);
  }
  return dataOffsetBytes;
}

/**
 * Parses the header of a safetensors file and checks all that the format asks for: JSON without duplicate keys, known
 * dtypes, sizes that match, and tensors that cover the rest of the file without holes or overlaps.
 *
 * @param bytes The file's beginning: the header's length and the header. Bytes after the header are not looked at.
 * @throws `CE_FILE_TRUNCATED`, `CE_FILE_INVALID`, `CE_DTYPE_UNKNOWN`, naming the file and the tensor
 * @source safetensors 0.8.0 `SafeTensors::read_metadata`
 */
export function parseSafetensorsHeader(bytes: Uint8Array, source: HeaderSource): SafetensorsFile {
  const { path, fileSizeBytes } = source;
  const dataOffsetBytes = readDataOffset(bytes, source);
  if (bytes.length < dataOffsetBytes) {
    throw truncatedFile(path, `${bytes.length} bytes were read, want the ${dataOffsetBytes} of the header`);
  }
  const text = decodeHeader(bytes.subarray(LENGTH_BYTES, dataOffsetBytes), path);
  const { metadata, tensors } = readHeader(text, path);
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  return {
    path,
    sizeBytes: fileSizeBytes,
    dataOffsetBytes,
    metadata,
    tensors: placeTensors(tensors, dataOffsetBytes, source),
  };
}

function decodeHeader(header: Uint8Array, path: string): string {
  if (header[0] !== 0x7b) {
    const seen = header.length === 0 ? 'is empty' : `starts with byte 0x${header[0]!.toString(16).padStart(2, '0')}`;
    throw invalidFile(path, `the header ${seen}, want "{" (0x7b)`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw invalidFile(path, 'the header is not UTF-8', { cause });
  }
}

function readHeader(text: string, path: string): { metadata: Record<string, string>; tensors: RawTensor[] } {
  let tensor: string | undefined;
  const reader = new JsonReader(text, (what) => {
    throw invalidFile(path, what, { tensor });
  });
  const metadata: Record<string, string> = Object.create(null);
  const tensors: RawTensor[] = [];
  reader.object('the header', (key) => {
    if (key === '__metadata__') {
      reader.object('__metadata__', (name) => {
        metadata[name] = reader.string(`__metadata__[${JSON.stringify(name)}]`);
      });
    } else {
      tensor = key;
      tensors.push(readTensor(reader, key, path));
      tensor = undefined;
    }
  });
  reader.end();
  return { metadata, tensors };
}

function readTensor(reader: JsonReader, name: string, path: string): RawTensor {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.object('its entry', (key) => {
    if (key === 'dtype') dtype = reader.string('dtype');
    else if (key === 'shape') shape = readNaturals(reader, 'shape');
    else if (key === 'data_offsets') offsets = readNaturals(reader, 'data_offsets');
    else reader.skip('a field that the format does not know');
  });
  const fail = (what: string): never => {
    throw invalidFile(path, what, { tensor: name });
  };
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return fail('the entry lacks a field, want dtype, shape and data_offsets');
  }
  if (!isDType(dtype)) {
    throw invalidFile(path, `dtype is ${JSON.stringify(dtype)}, want one of ${DTYPES.join(', ')}`, {
      code: 'CE_DTYPE_UNKNOWN',
      tensor: name,
      hint: 'Convert the tensor to a dtype of the safetensors format',
    });
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2) {
    return fail(`data_offsets has ${offsets.length} numbers, want 2`);
  }
  if (begin > end) fail(`data_offsets is [${offsets}], want the end not before the begin`);
  return { name, dtype, shape, begin, end };
}

function readNaturals(reader: JsonReader, what: string): number[] {
  const values: number[] = [];
  reader.array(what, () => values.push(reader.natural(`a number of ${what}`)));
  return values;
}

/** Checks that the tensors, ascending by offset, have the bytes their shapes ask for and tile the rest of the file. */
function placeTensors(tensors: readonly RawTensor[], dataOffsetBytes: number, source: HeaderSource): TensorEntry[] {
  const { path, fileSizeBytes } = source;
  let expected = 0;
  let previous: string | undefined;
  const placed = tensors.map(({ name, dtype, shape, begin, end }): TensorEntry => {
    const fail = (what: string): never => {
      throw invalidFile(path, what, { tensor: name });
    };
    if (begin !== expected) {
      if (previous === undefined) fail(`the first tensor begins at offset ${begin}, want 0`);
      const fault = begin > expected ? 'leaves a hole after' : 'overlaps';
      fail(`begins at offset ${begin} and ${fault} tensor ${JSON.stringify(previous)}, want ${expected}`);
    }
    const sizeBytes = sizeOf(dtype, shape, fail);
    if (end - begin !== sizeBytes) {
      fail(`data_offsets give it ${end - begin} bytes, want the ${sizeBytes} of ${dtype} and shape [${shape}]`);
    }
    expected = end;
    previous = name;
    return { name, dtype, shape, sizeBytes, fileOffsetBytes: dataOffsetBytes + begin, path };
  });
  const wantedBytes = dataOffsetBytes + expected;
  if (fileSizeBytes < wantedBytes) {
    throw truncatedFile(path, `has ${fileSizeBytes} bytes, want the ${wantedBytes} that its header asks for`, previous);
  }
  if (fileSizeBytes > wantedBytes) {
    throw invalidFile(path, `has ${fileSizeBytes - wantedBytes} bytes after the last tensor, want none`);
  }
  return placed;
}

function sizeOf(dtype: DType, shape: readonly number[], fail: (what: string) => never): number {
  try {
    return tensorBytes(dtype, shape);
  } catch (error) {
    return fail((error as RangeError).message);
  }
}
