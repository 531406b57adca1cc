import type { Server } from 'node:http';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { listenAtSocket } from './unix-socket.ts';

/** The address of a worker's HTTP server: a TCP port (0: any free port), or the path of a Unix socket. */
export type ListenAddress = { readonly host?: string | undefined; readonly port: number } | { readonly path: string };

/**
 * Opens the address and returns the actual one: a Unix socket that only this user can open, or a TCP port on the
 * loopback interface.
 *
 * @throws {TypeError} The host is not the loopback interface, and `allowRemote` is not set.
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`.
 */
export async function listen(server: Server, address: ListenAddress, allowRemote: boolean): Promise<ListenAddress> {
  if ('path' in address) {
    await listenAtSocket(server, address.path);
    return { path: address.path };
  }
  const { host = '127.0.0.1', port } = address;
  if (!allowRemote && !isLoopback(host)) {
    throw new TypeError(`Expected a loopback host, got "${host}": set allowRemote to serve other hosts`);
  }
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenError(error, `${host}:${port}`));
    server.once('error', refuse);
    server.listen({ host, port }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
  const bound = server.address();
  return { host, port: typeof bound === 'object' && bound !== null ? bound.port : port };
}

/** Whether only this machine can reach a host address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function listenError(error: NodeJS.ErrnoException, where: string): CheckpointEngineError {
  const isInUse = error.code === 'EADDRINUSE';
  return new CheckpointEngineError(
    isInUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    isInUse ? `Another program listens on ${where}` : `Cannot listen on ${where}: ${error.message}`,
    'Choose another address',
    { op: 'listen', peer: where, cause: error },
  );
}
