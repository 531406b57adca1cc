import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';

/** A file is not what its format asks for. `what` completes a sentence that begins with the file. */
export function invalidFile(
  path: string,
  what: string,
  options: {
    code?: ErrorCode | undefined;
    tensor?: string | undefined;
    hint?: string | undefined;
    cause?: unknown;
  } = {},
): CheckpointEngineError {
  const {
    code = 'CE_FILE_INVALID',
    tensor,
    hint = 'Write the file again with a current safetensors library',
  } = options;
  const where = tensor === undefined ? `File "${path}"` : `File "${path}", tensor ${JSON.stringify(tensor)}`;
  return new CheckpointEngineError(code, `${where}: ${what}`, hint, { file: path, tensor, cause: options.cause });
}

/** A file has fewer bytes than it ought to. */
export function truncatedFile(path: string, what: string, tensor?: string): CheckpointEngineError {
  return invalidFile(path, what, {
    code: 'CE_FILE_TRUNCATED',
    tensor,
    hint: 'Copy the file again and wait until it is written in full',
  });
}

/** The system does not give a file; `cause` is what it said. */
export function unreadableFile(path: string, cause: unknown): CheckpointEngineError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new CheckpointEngineError('CE_FILE_NOT_FOUND', `No file at "${path}"`, 'Correct the path', {
      file: path,
      cause,
    });
  }
  return invalidFile(path, `not readable (${code ?? message})`, {
    code: 'CE_FILE_UNREADABLE',
    hint: 'Give this user the right to read the file, and look at the disk',
    cause,
  });
}
