import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

/** An engine that says that it is ready, takes a request for an update, and then neither receives nor answers. */
export interface SilentEngine {
  /** Resolves when a request for an update came. */
  readonly asked: Promise<void>;
  /** Resolves when the client has disconnected. */
  readonly givenUp: Promise<void>;
  close(): void;
}

/** Listens at a Unix socket. */
export async function startSilentEngine(socket: string): Promise<SilentEngine> {
  let onAsked!: () => void;
  let onGivenUp!: () => void;
  const asked = new Promise<void>((resolve) => {
    onAsked = resolve;
  });
  const givenUp = new Promise<void>((resolve) => {
    onGivenUp = resolve;
  });
  const server: Server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end('{}');
      return;
    }
    request.resume();
    onAsked();
    response.on('close', onGivenUp);
  });
  server.listen(socket);
  await once(server, 'listening');
  return {
    asked,
    givenUp,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
