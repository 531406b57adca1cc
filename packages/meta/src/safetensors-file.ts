import type { FileState } from '@checkpoint-engine/interface';
import type { DType } from './dtype.ts';

/** One tensor of a safetensors file and the location of its bytes. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  /** `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Bytes from the start of the file. */
  readonly fileOffsetBytes: number;
  /** Path of the file that holds the tensor. */
  readonly path: string;
}

/** The checked contents of a safetensors header. */
export interface SafetensorsFile {
  readonly path: string;
  /** Size of the whole file. */
  readonly sizeBytes: number;
  /** Offset where the header ends and the tensors begin. */
  readonly dataOffsetBytes: number;
  /** The header's `__metadata__`: an object without a prototype, so that no key has a special meaning. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Ascending by file offset; they cover the file from `dataOffsetBytes` to its end. */
  readonly tensors: readonly TensorEntry[];
}

/** A safetensors file whose header was read from the file system. */
export interface CheckpointFile extends SafetensorsFile {
  /** The state of the file when its header was read. */
  readonly state: FileState;
  /** SHA-256 of the length and the header, in base64url. */
  readonly headerDigest: string;
}
