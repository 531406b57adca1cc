import { dirname } from 'node:path';
import { LENGTH_BYTES, MAX_HEADER_BYTES } from './safetensors-header.ts';

/** Describes a file that is not in the safetensors format. */
export interface ForeignFormat {
  /** Completes a sentence whose subject is the file. */
  readonly what: string;
  readonly hint: string;
}

/** Number of bytes that {@link foreignFormat} inspects. */
export const FORMAT_PROBE_BYTES = 512;

const DOWNLOAD = 'Download the file again: a server sent this content instead of the file';
const UNPACK = 'Unpack the file';
const TORCH = 'Convert it with safetensors.torch.save_file, or save the model with safe_serialization=True';

/** The first bytes of each known format. */
const BEGINNINGS: readonly (readonly [begin: string, what: string, hint: (path: string) => string])[] = [
  [
    'version https://git-lfs.github.com/',
    'is a Git LFS pointer, not the file that it points to',
    (path) => `Run git lfs pull in "${dirname(path)}"`,
  ],
  [
    '/annex/objects/',
    'is a git-annex pointer, not the file that it points to',
    (path) => `Run git annex get in "${dirname(path)}"`,
  ],
  ['lmgg', 'is a GGML file (llama.cpp)', () => 'Pass the safetensors files that it was converted from'],
  ['tjgg', 'is a GGML file (llama.cpp)', () => 'Pass the safetensors files that it was converted from'],
  ['GGUF', 'is a GGUF file (llama.cpp)', () => 'Pass the safetensors files that it was converted from'],
  ['PK\x03\x04', 'is a zip archive, as written by PyTorch (.bin, .pt)', () => TORCH],
  ['\x80\x02', 'is a Python pickle, as written by PyTorch', () => TORCH],
  ['\x80\x03', 'is a Python pickle, as written by PyTorch', () => TORCH],
  ['\x80\x04', 'is a Python pickle, as written by PyTorch', () => TORCH],
  ['\x80\x05', 'is a Python pickle, as written by PyTorch', () => TORCH],
  ['\x93NUMPY', 'is a NumPy array', () => 'Convert it with safetensors.numpy.save_file'],
  ['\x89HDF', 'is an HDF5 file', () => 'Convert it to safetensors'],
  ['\x1f\x8b', 'is compressed with gzip', () => UNPACK],
  ['\xfd7zXZ', 'is compressed with xz', () => UNPACK],
  ['BZh', 'is compressed with bzip2', () => UNPACK],
  ['\x28\xb5\x2f\xfd', 'is compressed with zstd', () => UNPACK],
  ['7z\xbc\xaf', 'is a 7z archive', () => UNPACK],
];

/**
 * Recognizes files of other formats by their first bytes. Returns `undefined` for a file that may be a safetensors
 * file.
 *
 * @param bytes The first {@link FORMAT_PROBE_BYTES} of the file, or the whole file if it is shorter.
 */
export function foreignFormat(bytes: Uint8Array, path: string): ForeignFormat | undefined {
  if (mayBeSafetensors(bytes)) return undefined;
  const text = String.fromCharCode(...bytes.subarray(0, FORMAT_PROBE_BYTES));
  for (const [begin, what, hint] of BEGINNINGS) {
    if (text.startsWith(begin)) return { what, hint: hint(path) };
  }
  if (text.slice(257, 262) === 'ustar') return { what: 'is a tar archive', hint: UNPACK };
  const trimmed = text.trimStart();
  if (/^(<!doctype html|<html)/i.test(trimmed)) return { what: 'is an HTML page', hint: DOWNLOAD };
  if (/^(<\?xml|<Error>)/i.test(trimmed)) return { what: 'is an XML document', hint: DOWNLOAD };
  if (/^[{[]\s*(["{[\]}]|-?\d)/.test(trimmed)) {
    return trimmed.includes('"weight_map"')
      ? { what: 'is the index of a checkpoint', hint: `Pass the folder of the checkpoint, such as "${dirname(path)}"` }
      : { what: `is JSON text: ${excerpt(trimmed)}`, hint: 'Pass a safetensors file, or download the file again' };
  }
  if (bytes.length >= 2 * LENGTH_BYTES && /^\0+$/.test(text)) {
    return {
      what: 'begins with zeros: its content has not been written yet',
      hint: 'Wait until the file is complete, or download it again',
    };
  }
  if (bytes.length > LENGTH_BYTES && /^[\t\n\r\x20-\x7e]+$/.test(text)) {
    return { what: `is text: ${excerpt(text)}`, hint: DOWNLOAD };
  }
  return undefined;
}

/** Whether the bytes begin with a valid header length, followed by the start of a JSON object. */
function mayBeSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length <= LENGTH_BYTES) return bytes.length === 0;
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  return length <= MAX_HEADER_BYTES && bytes[LENGTH_BYTES] === 0x7b;
}

function excerpt(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 57)}...`);
}
