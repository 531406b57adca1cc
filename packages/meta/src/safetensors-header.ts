import { invalidFile, truncatedFile } from './file-errors.ts';
import { JsonReader } from './json-reader.ts';
import type { SafetensorsFile, TensorEntry } from './safetensors-file.ts';
import { TensorReader } from './tensor-reader.ts';

/** Size of the header length at the start of a file: a little-endian u64. */
export const LENGTH_BYTES = 8;
/** Longest header that the format allows, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Describes the file that the bytes come from. */
export interface HeaderSource {
  /** Appears in errors and in the entries. */
  readonly path: string;
  /** Size of the whole file in bytes. */
  readonly fileSizeBytes: number;
}

/**
 * Computes the offset of the first tensor from the length at the start of a file.
 *
 * @param bytes At least the first 8 bytes of the file, or the whole file if it is shorter.
 * @throws `CE_FILE_TRUNCATED`, `CE_FILE_INVALID`
 */
export function readDataOffset(bytes: Uint8Array, { path, fileSizeBytes }: HeaderSource): number {
  if (bytes.length < LENGTH_BYTES || fileSizeBytes < LENGTH_BYTES) {
    const has = Math.min(bytes.length, fileSizeBytes);
    throw truncatedFile(path, `has ${has} bytes, expected at least the ${LENGTH_BYTES} of the header's length`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw invalidFile(path, `the header's length is ${length} bytes, expected at most ${MAX_HEADER_BYTES}`, {
      hint: 'Check that this is a safetensors file',
    });
  }
  const dataOffsetBytes = LENGTH_BYTES + Number(length);
  if (dataOffsetBytes > fileSizeBytes) {
    throw truncatedFile(path, `the header ends at byte ${dataOffsetBytes}, but the file has ${fileSizeBytes} bytes`);
  }
  return dataOffsetBytes;
}

/**
 * Parses the header of a safetensors file and checks it against the format: JSON without duplicate keys, known
 * dtypes, sizes that match, and tensors that cover the rest of the file without holes or overlaps.
 *
 * @param bytes The beginning of the file: the length of the header and the header. The function ignores bytes after the
 *   header.
 * @throws `CE_FILE_TRUNCATED`, `CE_FILE_INVALID`, `CE_DTYPE_UNKNOWN`, naming the file and the tensor
 * @source safetensors 0.8.0 `SafeTensors::read_metadata`
 */
export function parseSafetensorsHeader(bytes: Uint8Array, source: HeaderSource): SafetensorsFile {
  const { path, fileSizeBytes } = source;
  const dataOffsetBytes = readDataOffset(bytes, source);
  if (bytes.length < dataOffsetBytes) {
    throw truncatedFile(path, `${bytes.length} bytes were read, expected the ${dataOffsetBytes} of the header`);
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
    throw invalidFile(path, `the header ${seen}, expected "{" (0x7b)`);
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
      // safetensors accepts this, though it never writes it.
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

/** Checks that the tensors, ascending by offset, are contiguous from the header to the end of the file. */
function checkTiling(tensors: readonly TensorEntry[], dataOffsetBytes: number, source: HeaderSource): void {
  const { path, fileSizeBytes } = source;
  let expected = dataOffsetBytes;
  let previous: string | undefined;
  for (const { name, fileOffsetBytes, sizeBytes } of tensors) {
    if (fileOffsetBytes !== expected) {
      const fault = fileOffsetBytes > expected ? 'leaves a hole after' : 'overlaps';
      const neighbor = previous === undefined ? 'the header' : `tensor ${JSON.stringify(previous)}`;
      const [begin, wanted] = [fileOffsetBytes - dataOffsetBytes, expected - dataOffsetBytes];
      throw invalidFile(path, `begins at offset ${begin} and ${fault} ${neighbor}, expected ${wanted}`, {
        tensor: name,
      });
    }
    expected += sizeBytes;
    previous = name;
  }
  if (fileSizeBytes < expected) {
    throw truncatedFile(path, `has ${fileSizeBytes} bytes, expected the ${expected} bytes that its header describes`);
  }
  if (fileSizeBytes > expected) {
    throw invalidFile(path, `has ${fileSizeBytes - expected} bytes after the last tensor, expected none`);
  }
}
