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
  readonly files: readonly { readonly path: string; readonly sizeBytes: number; readonly tensorCount: number }[];
  readonly dtypes: readonly DTypeSum[];
  /** With `--tensors`. */
  readonly tensors?: readonly TensorEntry[];
  readonly warnings: readonly string[];
  readonly problems: readonly SerializedError[];
}

/** Converts an inspection to plain data. */
export function inspectionJson(inspection: Inspection, allTensors: boolean): InspectionJson {
  const { path, files, tensors, totalBytes, dtypes, warnings, problems } = inspection;
  return {
    ok: problems.length === 0,
    command: 'inspect',
    path,
    totalBytes,
    tensorCount: tensors.length,
    files: files.map((file) => ({ path: file.path, sizeBytes: file.sizeBytes, tensorCount: file.tensors.length })),
    dtypes,
    ...(allTensors ? { tensors } : {}),
    warnings,
    problems: problems.map((problem) => problem.toJSON()),
  };
}
