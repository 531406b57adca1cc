import { createServer, isIPv6, type Server } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** A TCP server that listens, and its address. */
export interface TcpListener {
  readonly server: Server;
  /** `tcp://host:port` */
  readonly address: string;
}

/** Listens on a port; 0 takes any free port. @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
export async function listenTcp(host: string, port: number): Promise<TcpListener> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)));
    server.listen({ host, port, backlog: 1_024, exclusive: true }, resolve);
  });
  server.removeAllListeners('error');
  const bound = server.address() as { address: string; port: number };
  return { server, address: `tcp://${isIPv6(bound.address) ? `[${bound.address}]` : bound.address}:${bound.port}` };
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): CheckpointEngineError {
  const code = cause.code === 'EADDRINUSE' ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID';
  const details = { op: 'bind', peer: `${host}:${port}`, cause };
  return new CheckpointEngineError(
    code,
    `Cannot listen on ${host}:${port}: ${cause.message}`,
    'Check the address',
    details,
  );
}
