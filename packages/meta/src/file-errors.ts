import { readlink } from 'node:fs/promises';
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
    hint: 'Copy or download the file again, and wait until it is complete',
  });
}

/** What to do about a file that the system does not give, by the system's code. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'Give this user the right to read the file and to enter its folders',
  EPERM: 'Give this user the right to read the file and to enter its folders',
  ELOOP: 'Correct the symbolic links of the path, which lead in a circle',
  EMFILE: 'Raise the limit of open files (ulimit -n)',
  ENFILE: 'Raise the limit of open files of the system',
};

/** The system does not give a file; `cause` is what it said. */
export async function unreadableFile(path: string, cause: unknown): Promise<CheckpointEngineError> {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const target = await readlink(path).catch(() => undefined);
    const [what, hint] =
      target === undefined
        ? [`No file at "${path}"`, 'Correct the path']
        : [`"${path}" is a link to "${target}", which is not there`, 'Download the file again, or correct the link'];
    return new CheckpointEngineError('CE_FILE_NOT_FOUND', what, hint, { file: path, cause });
  }
  return invalidFile(path, `not readable (${code ?? message})`, {
    code: 'CE_FILE_UNREADABLE',
    hint: HINTS[code ?? ''] ?? 'Look at the disk and at the log of the file system',
    cause,
  });
}
