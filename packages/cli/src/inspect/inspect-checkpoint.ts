import { type CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import {
  type CheckpointFile,
  type DType,
  listCheckpointFiles,
  readCheckpoint,
  readSafetensorsHeader,
  type TensorEntry,
} from '@checkpoint-engine/meta';

/** All tensors of one dtype. */
export interface DTypeSum {
  readonly dtype: DType;
  readonly tensorCount: number;
  readonly sizeBytes: number;
}

/** Digests of the bytes of a checkpoint. Each part is present on request. */
export interface InspectedDigests {
  /** See `checkpointDigest`. */
  readonly digest?: string | undefined;
  /** By name of the tensor, 16 hexadecimal digits. */
  readonly byTensor?: ReadonlyMap<string, string> | undefined;
  /** By path of the file, in hexadecimal digits. */
  readonly sha256ByPath?: ReadonlyMap<string, string> | undefined;
}

/** The contents of a checkpoint's files and their problems. */
export interface Inspection {
  readonly path: string;
  /** The files that could be read. */
  readonly files: readonly CheckpointFile[];
  readonly tensors: readonly TensorEntry[];
  readonly totalBytes: number;
  /** Sorted by size, largest first. */
  readonly dtypes: readonly DTypeSum[];
  /** Digests of the bytes of the files, on request. */
  readonly digested?: InspectedDigests | undefined;
  /** Findings that do not prevent use. */
  readonly warnings: readonly string[];
  /** Findings that make the checkpoint unusable. */
  readonly problems: readonly CheckpointEngineError[];
}

/** Reads the headers of a checkpoint. Problems of the files are in `problems`; they do not make it reject. */
export async function inspectCheckpoint(path: string): Promise<Inspection> {
  try {
    const { files, warnings } = await readCheckpoint(path);
    return inspection(path, files, warnings, []);
  } catch (error) {
    const { files, problems } = await readEach(path);
    const failure = toCheckpointEngineError(error);
    const isKnown = problems.some(({ code, message }) => code === failure.code && message === failure.message);
    return inspection(path, files, [], isKnown ? problems : [failure, ...problems]);
  }
}

function inspection(
  path: string,
  files: readonly CheckpointFile[],
  warnings: readonly string[],
  problems: readonly CheckpointEngineError[],
): Inspection {
  const tensors = files.flatMap((file) => file.tensors);
  const totalBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { path, files, tensors, totalBytes, dtypes: sumByDType(tensors), warnings, problems };
}

/** Reads each file separately, so that one bad file does not hide another one. */
async function readEach(path: string): Promise<{ files: CheckpointFile[]; problems: CheckpointEngineError[] }> {
  const files: CheckpointFile[] = [];
  const problems: CheckpointEngineError[] = [];
  for (const file of await listCheckpointFiles(path)) {
    try {
      files.push(await readSafetensorsHeader(file));
    } catch (error) {
      problems.push(toCheckpointEngineError(error));
    }
  }
  return { files, problems };
}

function sumByDType(tensors: readonly TensorEntry[]): DTypeSum[] {
  const sums = new Map<DType, DTypeSum>();
  for (const { dtype, sizeBytes } of tensors) {
    const before = sums.get(dtype) ?? { dtype, tensorCount: 0, sizeBytes: 0 };
    sums.set(dtype, { dtype, tensorCount: before.tensorCount + 1, sizeBytes: before.sizeBytes + sizeBytes });
  }
  return [...sums.values()].sort((a, b) => b.sizeBytes - a.sizeBytes || a.dtype.localeCompare(b.dtype));
}
