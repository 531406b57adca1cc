import { Buffer } from 'node:buffer';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { untilTransferred } from './nonblocking.ts';

/** Time limit for the reader of a FIFO to take the next bytes. */
const READER_MS = 10_000;
/** Bytes of one write: the usual size of the kernel's buffer. */
const PIECE_BYTES = 64 << 10;

/**
 * Writes to a FIFO, such as one of >(command). An ordinary write would wait for a reader without a bound.
 *
 * @throws No process reads the FIFO, its reader takes nothing for too long, or it closes the FIFO early.
 */
export async function writeFifo(path: string, data: string | Uint8Array, timeoutMs: number = READER_MS): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const fd = openToWrite(path);
  try {
    let written = 0;
    const writeNext = (): number | undefined => {
      if (written === bytes.byteLength) return undefined;
      const count = writeSync(fd, bytes, written, Math.min(PIECE_BYTES, bytes.byteLength - written));
      written += count;
      return count;
    };
    await untilTransferred(writeNext, { timeoutMs, late: `its reader took nothing for ${timeoutMs} ms` });
  } finally {
    closeSync(fd);
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
