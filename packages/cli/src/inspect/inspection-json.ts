import type { SerializedError } from '@checkpoint-engine/interface';
import type { TensorEntry } from '@checkpoint-engine/meta';
import type { DTypeSum, Inspection } from './inspect-checkpoint.ts';

/** The output of `inspect --json`. */
export interface InspectionJson {
  readonly ok: boolean;
  readonly command: 'inspect';
  readonly path: string;
  readonly totalBytes: number;
  readonly tensorCount: number;
  readonly files: readonly {
    readonly path: string;
    readonly sizeBytes: number;
    readonly tensorCount: number;
    /** With `--sha256`. */
    readonly sha256?: string | undefined;
  }[];
  /** Digest of the checkpoint, with `--digests`. */
  readonly digest?: string | undefined;
  /** The version of an update with this checkpoint, unless the update sets another one. With `--digests`. */
  readonly derivedVersion?: string | undefined;
  readonly dtypes: readonly DTypeSum[];
  /** With `--tensors`; digests with `--digests`. */
  readonly tensors?: readonly (TensorEntry & { readonly digest?: string | undefined })[];
  readonly warnings: readonly string[];
  readonly problems: readonly SerializedError[];
}

/** Converts an inspection to plain data. */
export function inspectionJson(inspection: Inspection, allTensors: boolean): InspectionJson {
  const { path, files, tensors, totalBytes, dtypes, digested, warnings, problems } = inspection;
  const { digest, byTensor, sha256ByPath } = digested ?? {};
  return {
    ok: problems.length === 0,
    command: 'inspect',
    path,
    totalBytes,
    tensorCount: tensors.length,
    files: files.map((file) => ({
      path: file.path,
      sizeBytes: file.sizeBytes,
      tensorCount: file.tensors.length,
      sha256: sha256ByPath?.get(file.path),
    })),
    digest,
    derivedVersion: digest && `digest:${digest}`,
    dtypes,
    ...(allTensors ? { tensors: tensors.map((tensor) => ({ ...tensor, digest: byTensor?.get(tensor.name) })) } : {}),
    warnings,
    problems: problems.map((problem) => problem.toJSON()),
  };
}
