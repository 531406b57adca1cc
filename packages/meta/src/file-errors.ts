import { readlink } from 'node:fs/promises';
import { CheckpointEngineError, type ErrorCode, fitText } from '@checkpoint-engine/interface';

/** Most characters of what a message says about a file, which may repeat what the file contains. */
const WHAT_CHARACTERS = 2_000;

/** Creates the error for a file that violates its format. `what` completes a sentence whose subject is the file. */
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
  const where =
    tensor === undefined ? `File ${quoted(path)}` : `File ${quoted(path)}, tensor ${JSON.stringify(shortened(tensor))}`;
  return new CheckpointEngineError(code, `${where}: ${fitText(what, WHAT_CHARACTERS)}`, hint, {
    file: path,
    tensor,
    cause: options.cause,
  });
}

/** Creates the error for a file that is shorter than expected. */
export function truncatedFile(path: string, what: string, tensor?: string): CheckpointEngineError {
  return invalidFile(path, what, {
    code: 'CE_FILE_TRUNCATED',
    tensor,
    hint: 'Copy or download the file again, and wait until it is complete',
  });
}

/** Hints for files that the system cannot read, by the system's error code. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'Give this user permission to read the file and to enter its folders',
  EPERM: 'Give this user permission to read the file and to enter its folders',
  ELOOP: 'Correct the symbolic links in the path, which form a loop',
  EMFILE: 'Raise the limit of open files (ulimit -n)',
  ENFILE: 'Raise the limit of open files of the system',
};

/** Creates the error for a file that the system cannot open or read; `cause` is the system's error. */
export async function unreadableFile(path: string, cause: unknown): Promise<CheckpointEngineError> {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const target = await readlink(path).catch(() => undefined);
    const [what, hint] =
      target === undefined
        ? [`No file at ${quoted(path)}`, hintFor(path)]
        : [
            `${quoted(path)} is a link to ${quoted(target)}, which does not exist`,
            'Download the file again, or correct the link',
          ];
    return new CheckpointEngineError('CE_FILE_NOT_FOUND', what, hint, { file: path, cause });
  }
  return invalidFile(path, `not readable (${code ?? message})`, {
    code: 'CE_FILE_UNREADABLE',
    hint: HINTS[code ?? ''] ?? 'Check the disk and the log of the file system',
    cause,
  });
}

const SHOWN_CHARACTERS = 300;

/** The name of a tensor for a message: names have up to millions of characters. */
function shortened(name: string): string {
  return name.length <= SHOWN_CHARACTERS ? name : `${name.slice(0, SHOWN_CHARACTERS)}... (${name.length} characters)`;
}

/** Quotes a path for a message. Control characters are escaped, so that they do not reach the terminal. */
function quoted(path: string): string {
  return /\p{Cc}/u.test(path) ? JSON.stringify(path) : `"${path}"`;
}

/** Returns the hint for a path that does not exist. */
function hintFor(path: string): string {
  if (/^~/.test(path)) return 'Write the absolute path: only a shell replaces "~"';
  if (path.includes('\ufffd')) return 'Rename it to a name in UTF-8: other names cannot be opened';
  if (/[*?]/.test(path)) return 'Pass the folder, or each file: patterns are not expanded';
  if (/^\s|\s$/.test(path)) return 'Correct the path, which begins or ends with white space';
  if (/^[\w-][\w.-]*\/[\w.-]+$/.test(path)) {
    return 'Correct the path; a model of a hub, such as Hugging Face, has to be downloaded first';
  }
  return 'Correct the path';
}
