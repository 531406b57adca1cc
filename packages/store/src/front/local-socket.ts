import { readFileSync, statSync } from 'node:fs';

/** The Unix socket of a store server, as it announces it to ranks that may run on the same machine. */
export interface LocalSocket {
  /** Its path for processes that see the files and processes of the server under the same names. */
  readonly path: string;
  /** Identifies the file among those of all machines. */
  readonly file: string;
}

/** Maximum number of bytes of the path of a Unix socket, and of {@link LocalSocket.file}. */
export const MAX_LOCAL_SOCKET_BYTES = 107;

/**
 * Whether this process reaches the same socket under the announced path. It does not on another machine, as another
 * user, or in a container that has other processes or files.
 */
export const isSameMachine = ({ path, file }: LocalSocket): boolean => identifySocket(path) === file;

/**
 * Identifies the socket at a path: boot of the machine, file system and file. Returns `undefined` if this process
 * cannot see a socket there.
 */
export function identifySocket(path: string): string | undefined {
  try {
    const socket = statSync(path, { bigint: true });
    if (!socket.isSocket()) return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${socket.dev}/${socket.ino}`;
  } catch {
    return undefined;
  }
}
