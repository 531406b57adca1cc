import type { Socket } from 'zeromq';

const kept: Set<Socket> | undefined = 'Deno' in globalThis ? new Set() : undefined;

/**
 * Deno panics when it collects a native socket, whose finalizer calls into JavaScript: there every socket is kept, a
 * few hundred bytes each once it is closed. Does nothing in Node.
 */
export function keepInDeno<T extends Socket>(socket: T): T {
  kept?.add(socket);
  return socket;
}
