import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import { listenAtSocket } from '@checkpoint-engine/worker';
import type { ListenAddress } from '../config/serve-config.ts';
import { limitConnections } from './limit-connections.ts';

/** A listening server. */
export interface Listening {
  readonly server: Server;
  /** `http://host:port`, or the path of the socket. */
  readonly address: string;
}

/** Limits per client. Slow headers and bodies are cut off; answers may take as long as updates. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
} as const;
const MAX_CONNECTIONS = 1_024;
/** Time limit for running answers when the server ends. */
const ANSWER_MS = 1_000;

/**
 * Serves HTTP on an address. Only this user can open a Unix socket, which replaces one on which nothing listens any
 * more. Stops listening before it rejects.
 *
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`
 */
export async function listen(answer: RequestListener, address: ListenAddress): Promise<Listening> {
  const server = createServer(LIMITS, answer);
  limitConnections(server, MAX_CONNECTIONS);
  if ('path' in address) {
    await listenAtSocket(server, address.path);
    return { server, address: address.path };
  }
  await open(server, address);
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { server, address: `http://${host}:${port}` };
}

async function open(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  const listening = once(server, 'listening');
  server.listen({ host, port });
  try {
    await listening;
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, `${host}:${port}`);
  }
}

/** Lets running answers end within a moment, and removes the socket. */
export async function stopListening({ server, address }: Listening): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  if (!(await settlesWithin(closed, ANSWER_MS))) server.closeAllConnections();
  await closed;
  // Node.js removes the socket, Deno does not.
  if (!address.startsWith('http://')) rmSync(address, { force: true });
}

function listenError(error: NodeJS.ErrnoException, name: string): CheckpointEngineError {
  const inUse = error.code === 'EADDRINUSE';
  return new CheckpointEngineError(
    inUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    inUse ? `Another program listens on ${name}` : `The server cannot listen on ${name}: ${error.message}`,
    inUse ? 'Stop that program, or choose another address with --listen or --uds' : 'Correct --listen or --uds',
    { op: 'listen', peer: name, cause: error },
  );
}
