import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 500;
const LOOK_EVERY_MS = 2;

/**
 * Resolves once a port can be bound again, for a listener that closes asynchronously. Waits at most half a second,
 * because another process may have taken the port meanwhile. Never rejects.
 */
export async function portReleased(host: string, port: number): Promise<void> {
  const lateMs = performance.now() + WAIT_MS;
  while (!(await isFree(host, port)) && performance.now() < lateMs) await sleep(LOOK_EVERY_MS);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
