import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';

/**
 * Creates a name for a listener that cannot be guessed. It is an address in the abstract namespace of Linux, which
 * needs no file and disappears with its process.
 */
export function newSocketName(): string {
  return `checkpoint-engine-shm-${randomBytes(16).toString('hex')}`;
}

/** Listens on a name. @throws `CE_TRANSPORT_FAILED` */
export async function listenOn(name: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(cause)));
    server.listen(`\0${name}`, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', () => {}); // a connection could not be accepted: the other side gets an error
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
    return await untilAborted(connected, signal);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function cannotListen(cause: NodeJS.ErrnoException): CheckpointEngineError {
  const isFull = cause.code === 'EMFILE' || cause.code === 'ENFILE';
  return new CheckpointEngineError(
    'CE_TRANSPORT_FAILED',
    `Cannot listen on a socket for the other processes of this host: ${cause.message}`,
    isFull ? 'Raise the limit of open files (ulimit -n)' : 'Run on Linux, where abstract sockets exist',
    { op: 'listen', retryable: isFull, cause },
  );
}
