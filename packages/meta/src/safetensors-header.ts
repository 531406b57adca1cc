import { invalidFile, truncatedFile } from './file-errors.ts';
import { JsonReader } from './json-reader.ts';
import type { SafetensorsFile, TensorEntry } from './safetensors-file.ts';
import { TensorReader } from './tensor-reader.ts';

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
  const { metadata, tensors } = readHeader(text, path, dataOffsetBytes);
  tensors.sort((a, b) => a.fileOffsetBytes - b.fileOffsetBytes || a.sizeBytes - b.sizeBytes);
  checkTiling(tensors, dataOffsetBytes, source);
  return { path, sizeBytes: fileSizeBytes, dataOffsetBytes, metadata, tensors };
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

function readHeader(text: string, path: string, dataOffsetBytes: number) {
  let tensor: string | undefined;
  const reader = new JsonReader(text, (what) => {
    throw invalidFile(path, what, { tensor });
  });
  const tensorReader = new TensorReader(reader, path, dataOffsetBytes);
  const metadata: Record<string, string> = Object.create(null);
  const tensors: TensorEntry[] = [];
  reader.object('the header', (key) => {
    if (key === '__metadata__') {
      // What safetensors accepts, though it never writes it.
      if (reader.takeNull()) return;
      reader.object('__metadata__', (name) => {
        metadata[name] = reader.string(`__metadata__[${JSON.stringify(name)}]`);
      });
    } else {
      tensor = key;
      tensors.push(tensorReader.read(key));
      tensor = undefined;
    }
  });
  reader.end();
  return { metadata, tensors };
}

/** Checks that the tensors, ascending by offset, lie one after the other from the header to the end of the file. */
function checkTiling(tensors: readonly TensorEntry[], dataOffsetBytes: number, source: HeaderSource): void {
  const { path, fileSizeBytes } = source;
  let expected = dataOffsetBytes;
  let previous: string | undefined;
  for (const { name, fileOffsetBytes, sizeBytes } of tensors) {
    if (fileOffsetBytes !== expected) {
      const fault = fileOffsetBytes > expected ? 'leaves a hole after' : 'overlaps';
      const neighbour = previous === undefined ? 'the header' : `tensor ${JSON.stringify(previous)}`;
      const [begin, wanted] = [fileOffsetBytes - dataOffsetBytes, expected - dataOffsetBytes];
      throw invalidFile(path, `begins at offset ${begin} and ${fault} ${neighbour}, want ${wanted}`, { tensor: name });
    }
    expected += sizeBytes;
    previous = name;
  }
  if (fileSizeBytes < expected) {
    throw truncatedFile(path, `has ${fileSizeBytes} bytes, want the ${expected} that its header asks for`);
  }
  if (fileSizeBytes > expected) {
    throw invalidFile(path, `has ${fileSizeBytes - expected} bytes after the last tensor, want none`);
  }
}
