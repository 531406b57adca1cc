import { closeSync, openSync, readlinkSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identifySocket, type LocalSocket } from './local-socket.ts';

/** Opens the file without access to its contents (Linux). */
const O_PATH = 0o10000000;
/** Longest folder of a Unix socket: the whole path has at most 107 bytes. */
const MAX_FOLDER_BYTES = 70;

/** The address of a Unix socket that no other user can connect to. */
export interface PrivateAddress {
  /** For `connect` in this process. */
  readonly path: string;
  /** For other processes of this user; `undefined` if they cannot identify the socket. */
  readonly local: LocalSocket | undefined;
  /** Idempotent. */
  close(): void;
}

// Deno opens files of /proc only with all permissions.
const NEEDS_PATH: boolean = 'Deno' in globalThis;

/**
 * Has a Unix socket bound in a new folder of this user, and removes the folder: from then on the socket is reached
 * through a descriptor of this process, and a killed process leaves no file. In Deno the folder stays until the end.
 *
 * @param bind Binds the socket to this path.
 */
export async function bindPrivately(bind: (path: string) => Promise<void>): Promise<PrivateAddress> {
  const folder = await privateFolder();
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const path = join(folder, 'socket');
    await bind(path);
    if (NEEDS_PATH) return { path, local: announced(path, path), close: remove };
    let descriptor: number | undefined = openSync(path, O_PATH);
    remove();
    const own = `/proc/self/fd/${descriptor}`;
    return {
      path: own,
      local: announced(own, `/proc/${readlinkSync('/proc/self')}/fd/${descriptor}`),
      close: () => {
        if (descriptor !== undefined) closeSync(descriptor);
        descriptor = undefined;
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function announced(own: string, path: string): LocalSocket | undefined {
  const file = identifySocket(own);
  return file === undefined ? undefined : { path, file };
}

/** A new folder of this user. `/dev/shm` is for machines whose temporary folder cannot be written, or is too long. */
async function privateFolder(): Promise<string> {
  const prefix = join(tmpdir(), 'checkpoint-engine-');
  const spare = '/dev/shm/checkpoint-engine-store-';
  if (prefix.length > MAX_FOLDER_BYTES) return await mkdtemp(spare);
  try {
    return await mkdtemp(prefix);
  } catch {
    return await mkdtemp(spare);
  }
}
