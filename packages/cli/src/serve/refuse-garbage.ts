import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PendingConnections } from '@checkpoint-engine/interface/wire';

/** Time limit for a refused connection. */
const REFUSED_MS = 10_000;
/**
 * Time between the closing of two refused connections. One that floods costs 0.3 ms of processor time: its parser, up
 * to 64 KiB that are read, and its error. At this rate a flood takes less than 2 % of a processor.
 */
const CLOSE_EVERY_MS = 25;
/** Status lines by the code of a parse error, as Node.js has them. */
const STATUSES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** Answers malformed requests as Node.js does, but closes their connections at a limited rate. */
export function refuseGarbage(server: Server, maxConnections: number): void {
  const pending = new PendingConnections({
    maxCount: maxConnections,
    timeoutMs: REFUSED_MS,
    closeEveryMs: CLOSE_EVERY_MS,
  });
  const answers = new WeakMap<Socket, ServerResponse>();
  server.on('request', ({ socket }: IncomingMessage, response) => {
    answers.set(socket, response);
    response.once('close', () => answers.delete(socket));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    socket.on('error', () => {}); // What has arrived already may have more errors.
    if (error.code === 'ECONNRESET' || !socket.writable || answers.get(socket)?.headersSent === true) {
      socket.destroy();
      return;
    }
    socket.write(`HTTP/1.1 ${STATUSES[error.code ?? ''] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
    pending.admit(socket).refuse(error.message);
  });
  server.once('close', () => pending.close());
}
