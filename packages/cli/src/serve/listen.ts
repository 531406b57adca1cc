import { once } from 'node:events';
import { chmodSync, lstatSync, rmSync, unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, type ListenOptions } from 'node:net';
import { umask } from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { within } from '../process/within.ts';

/** Where the server listens. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** A server that listens. */
export interface Listening {
  readonly server: Server;
  /** `http://host:port`, or the path of the socket. */
  readonly address: string;
}

/** What one client may take. Headers and bodies that trickle in are cut off; answers may take as long as updates do. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
} as const;
const MAX_CONNECTIONS = 1_024;
/** How long answers have when the server ends. */
const ANSWER_MS = 1_000;

/**
 * Serves HTTP at an address. A Unix socket can be opened by this user only, and takes the place of one that nobody
 * listens on any more.
 *
 * @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`
 */
export async function listen(answer: RequestListener, address: ListenAddress): Promise<Listening> {
  const server = createServer(LIMITS, answer);
  server.maxConnections = MAX_CONNECTIONS;
  if (!('path' in address)) {
    await open(server, { host: address.host, port: address.port }, `${address.host}:${address.port}`);
    const { port } = server.address() as AddressInfo;
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    return { server, address: `http://${host}:${port}` };
  }
  const { path } = address;
  try {
    await open(server, { path }, path);
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_ADDRESS_IN_USE' || !(await isStale(path)))
      throw error;
    unlinkSync(path);
    await open(server, { path }, path);
  }
  chmodSync(path, 0o600);
  return { server, address: path };
}

async function open(server: Server, where: ListenOptions, name: string): Promise<void> {
  const listening = once(server, 'listening');
  // The socket is bound within the call: it comes into being with this mode, not with a moment of another.
  const before = umask(0o177);
  try {
    server.listen(where);
  } finally {
    umask(before);
  }
  try {
    await listening;
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, name);
  }
}

/** Lets answers that are under way end, for a moment, and removes the socket. */
export async function stopListening({ server, address }: Listening): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  if (!(await within(closed, ANSWER_MS))) server.closeAllConnections();
  await closed;
  // Node.js removes it by itself, Deno does not.
  if (!address.startsWith('http://')) rmSync(address, { force: true });
}

/** Whether a socket is left of a process that is gone. What is no socket is left alone. */
async function isStale(path: string): Promise<boolean> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'));
  });
}

function listenError(error: NodeJS.ErrnoException, name: string): CheckpointEngineError {
  const inUse = error.code === 'EADDRINUSE';
  return new CheckpointEngineError(
    inUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    inUse ? `Something else is at ${name}` : `The server cannot listen at ${name}: ${error.message}`,
    inUse ? 'Stop what listens there, or choose another address with --listen or --uds' : 'Correct --listen or --uds',
    { op: 'listen', peer: name, cause: error },
  );
}
