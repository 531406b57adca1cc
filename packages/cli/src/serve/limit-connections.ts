import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { refuseGarbage } from './refuse-garbage.ts';

/** The state of a connection: it waits for a request, reads the rest of one, or waits for an answer. */
type Activity = 'idle' | 'reading' | 'answering';

/** States in which a connection may be closed to accept a new one, in order of preference. */
const EVICTION_ORDER: readonly Activity[] = ['idle', 'reading'];

/**
 * Limits the connections of a server. At the limit, a new connection replaces the oldest idle one, or else the oldest
 * with an incomplete request, so that idle clients cannot keep others out. If all wait for an answer, the new
 * connection is closed. A connection that does not use HTTP is refused, and refused connections are closed at a
 * limited rate, so that peers which send garbage and reconnect cost little.
 */
export function limitConnections(server: Server, maxConnections: number): void {
  refuseGarbage(server, maxConnections);
  // Ordered by last activity.
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
  for (const activity of EVICTION_ORDER) {
    for (const [socket, request] of connections) if (activityOf(request) === activity) return socket;
  }
  return undefined;
}

function activityOf(request: IncomingMessage | undefined): Activity {
  if (request === undefined) return 'idle';
  return request.complete ? 'answering' : 'reading';
}
