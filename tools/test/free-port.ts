import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that the system gives to clients, so that no connection takes the port before its user listens. */
const [FIRST, LAST] = [18_000, 32_000];

/** Returns a free TCP port of this host at random, because other test processes look for ports at the same time. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
      throw error;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
