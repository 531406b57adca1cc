import type { Socket } from 'zeromq';

const kept: Set<Socket> | undefined = 'Deno' in globalThis ? new Set() : undefined;

/**
 * Deno panics when it collects a native socket, whose finalizer calls into JavaScript. Under Deno this keeps every
 * socket, which takes a few hundred bytes per closed socket. Does nothing in Node.js.
 */
export function keepInDeno<T extends Socket>(socket: T): T {
  kept?.add(socket);
  return socket;
}
