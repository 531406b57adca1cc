import { close, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';

/** Time limit for the reader of a FIFO to take everything. */
const READER_MS = 10_000;

/**
 * Writes to a FIFO, such as one of >(command). An ordinary write would wait for a reader without a bound.
 *
 * @throws No process reads the FIFO, or its reader does not take everything in time.
 */
export async function writeFifo(path: string, data: string | Uint8Array, timeoutMs: number = READER_MS): Promise<void> {
  const fd = openToWrite(path);
  let socket: Socket;
  try {
    socket = new Socket({ fd, readable: false, writable: true });
  } catch (error) {
    close(fd, () => {});
    throw error;
  }
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`its reader did not take everything within ${timeoutMs} ms`)),
        timeoutMs,
      );
      socket.once('error', reject);
      socket.end(data, resolve);
    });
  } finally {
    clearTimeout(timer);
    socket.on('error', () => {});
    socket.destroy();
  }
}

/** Opens a FIFO without waiting. */
function openToWrite(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') throw new Error('it is a FIFO that no process reads');
    throw error;
  }
}
