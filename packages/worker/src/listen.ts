import { chmodSync } from 'node:fs';
import type { Server } from 'node:http';
import { umask } from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Where a worker's HTTP server listens: a TCP port (0: any that is free), or a Unix socket's path. */
export type ListenAddress = { readonly host?: string | undefined; readonly port: number } | { readonly path: string };

/**
 * Opens the address and gives it as it came out: a Unix socket that only this user can open, or a TCP port on the
 * loopback interface.
 *
 * @throws {TypeError} The host is not the loopback interface, and `allowRemote` is not set.
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`.
 */
export async function listen(server: Server, address: ListenAddress, allowRemote: boolean): Promise<ListenAddress> {
  const isPath = 'path' in address;
  const wanted = isPath ? { path: address.path } : { host: address.host ?? '127.0.0.1', port: address.port };
  if (!isPath && !allowRemote && !isLoopback(wanted.host!)) {
    throw new TypeError(`Expected a loopback host, got "${wanted.host}": set allowRemote to serve other hosts`);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(listenError(error, isPath ? address.path : `${wanted.host}:${wanted.port}`)),
    );
    const open = (): void => void server.listen(wanted, resolve);
    if (isPath) privately(open);
    else open();
  });
  server.removeAllListeners('error');
  if (isPath) {
    chmodSync(address.path, 0o600);
    return { path: address.path };
  }
  const bound = server.address();
  return { host: wanted.host, port: typeof bound === 'object' && bound !== null ? bound.port : address.port };
}

/** The socket is bound within the call: it comes into being with this mode, not with a moment of another. */
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

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function listenError(error: NodeJS.ErrnoException, where: string): CheckpointEngineError {
  const isInUse = error.code === 'EADDRINUSE';
  return new CheckpointEngineError(
    isInUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    `Cannot listen at "${where}": ${error.message}`,
    isInUse ? 'Choose another address, or remove the socket file that a dead process left' : 'Choose another address',
    { op: 'listen', cause: error },
  );
}
