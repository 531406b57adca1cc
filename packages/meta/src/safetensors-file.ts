import type { FileState } from '@checkpoint-engine/interface';
import type { DType } from './dtype.ts';

/** One tensor of a safetensors file and where its bytes lie. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  /** `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** From the start of the file. */
  readonly fileOffsetBytes: number;
  /** The file that holds it. */
  readonly path: string;
}

/** What the header of a safetensors file says, checked. */
export interface SafetensorsFile {
  readonly path: string;
  /** Size of the whole file. */
  readonly sizeBytes: number;
  /** Where the header ends and the tensors begin. */
  readonly dataOffsetBytes: number;
  /** The header's `__metadata__`: an object without a prototype, so that every key is only a key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Ascending by file offset; they cover the file from `dataOffsetBytes` to its end. */
  readonly tensors: readonly TensorEntry[];
}

/** A safetensors file whose header was read from the file system. */
export interface CheckpointFile extends SafetensorsFile {
  /** What the file was when its header was read. */
  readonly state: FileState;
  /** SHA-256 of the length and the header, in base64url. */
  readonly headerDigest: string;
}
