import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** What a connection does: waits for a request, reads the rest of one, or waits for its answer. */
type Activity = 'idle' | 'reading' | 'answering';

/** Those that are closed first to let a new connection in. */
const FIRST_TO_GO: readonly Activity[] = ['idle', 'reading'];

/**
 * Bounds a server's connections. At the limit a new one takes the place of the oldest that is idle, or else of the oldest
 * whose request is not complete: idle clients cannot keep others from connecting. Where all wait for an answer, the
 * new one is closed.
 */
export function limitConnections(server: Server, maxConnections: number): void {
  // In the order of their last activity.
  const connections = new Map<Socket, IncomingMessage | undefined>();
  server.on('connection', (socket: Socket) => {
    if (connections.size >= maxConnections) {
      const victim = oldest(connections);
      if (!victim) {
        socket.destroy();
        return;
      }
      connections.delete(victim);
      victim.destroy();
    }
    connections.set(socket, undefined);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', (request: IncomingMessage, response) => {
    const { socket } = request;
    const become = (state: IncomingMessage | undefined): void => {
      if (!connections.delete(socket)) return;
      connections.set(socket, state);
    };
    become(request);
    response.once('close', () => become(undefined));
  });
}

function oldest(connections: ReadonlyMap<Socket, IncomingMessage | undefined>): Socket | undefined {
  for (const activity of FIRST_TO_GO) {
    for (const [socket, request] of connections) if (activityOf(request) === activity) return socket;
  }
  return undefined;
}

function activityOf(request: IncomingMessage | undefined): Activity {
  if (request === undefined) return 'idle';
  return request.complete ? 'answering' : 'reading';
}
