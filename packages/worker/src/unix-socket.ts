import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { umask } from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Maximum length of a socket's path: `sun_path` of Linux has 108 bytes, and the last one is 0. Longer paths are
 * truncated silently.
 */
const MAX_PATH_BYTES = 107;

/** Time for a process to accept a connection before its socket counts as stale. */
const PROBE_MS = 2_000;

/** @throws `CE_CONFIG_INVALID`: no socket can have this path. */
export function checkSocketPath(path: string): void {
  const sizeBytes = new TextEncoder().encode(path).byteLength;
  if (sizeBytes > 0 && sizeBytes <= MAX_PATH_BYTES && !path.includes('\0')) return;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The path of the socket has ${sizeBytes} bytes, expected 1 to ${MAX_PATH_BYTES}: "${path}"`,
    'Use a shorter path, such as one below /tmp or /run',
    { op: 'listen', file: path },
  );
}

/**
 * Lets a server listen on a Unix socket that only this user can open. Replaces a socket whose process has ended. After
 * a failure, the server does not listen.
 *
 * @throws `CE_ADDRESS_IN_USE`: a process listens there, or the path is not that of a socket;
 * `CE_CONFIG_INVALID`.
 */
export async function listenAtSocket(server: Server, path: string): Promise<void> {
  checkSocketPath(path);
  try {
    await open(server, path);
  } catch (error) {
    if (!(await isStale(error, path))) throw listenError(error as NodeJS.ErrnoException, path);
    try {
      unlinkSync(path);
      await open(server, path);
    } catch (again) {
      throw listenError(again as NodeJS.ErrnoException, path);
    }
  }
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    await new Promise((resolve) => server.close(resolve));
    throw listenError(error as NodeJS.ErrnoException, path);
  }
}

function open(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    privately(() =>
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      }),
    );
  });
}

/** The socket is bound within the call, so that it has this mode from the start. */
function privately(open: () => void): void {
  let before: number | undefined;
  try {
    before = umask(0o177);
  } catch {
    // Threads cannot set it: there the mode is set right after.
  }
  try {
    open();
  } finally {
    if (before !== undefined) umask(before);
  }
}

/** Whether the path is a socket whose process has ended. */
async function isStale(error: unknown, path: string): Promise<boolean> {
  if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return false;
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
  return await new Promise((resolve) => {
    const socket = connect(path);
    const end = (stale: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(stale);
    };
    const timer = setTimeout(() => end(false), PROBE_MS);
    socket.once('connect', () => end(false));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code === 'ECONNREFUSED'));
  });
}

function listenError(error: NodeJS.ErrnoException, path: string): CheckpointEngineError {
  const isInUse = error.code === 'EADDRINUSE';
  if (isInUse && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    const what = `Cannot listen on "${path}": it exists and is not a socket`;
    const hint = 'Choose a path that does not exist, or remove what is there';
    return new CheckpointEngineError('CE_ADDRESS_IN_USE', what, hint, { op: 'listen', peer: path, cause: error });
  }
  return new CheckpointEngineError(
    isInUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    isInUse ? `Another program listens on "${path}"` : `Cannot listen on "${path}": ${error.message}`,
    isInUse ? 'Stop that program, or choose another path' : 'Choose a path in a folder that this user may write to',
    { op: 'listen', peer: path, cause: error },
  );
}
