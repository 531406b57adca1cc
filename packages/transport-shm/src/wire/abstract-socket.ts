import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { raceSignal } from './deadline.ts';

/**
 * A name for a listener that nobody can guess. It stands for an address in Linux' abstract namespace, which needs no
 * file and goes away with its process.
 */
export function newSocketName(): string {
  return `checkpoint-engine-shm-${randomBytes(16).toString('hex')}`;
}

/** Listens on a name. */
export async function listenOn(name: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(`\0${name}`, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server;
}

/** Connects to a name. */
export async function connectTo(name: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect(`\0${name}`);
  const connected = new Promise<Socket>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
  try {
    return await raceSignal(signal, connected);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
