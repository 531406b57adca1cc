import { Buffer } from 'node:buffer';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { untilTransferred } from '../output/nonblocking.ts';

/** Time limit for the writer of a FIFO to send the next bytes. */
const WRITER_MS = 10_000;
const MAX_FIFO_BYTES = 2 ** 30;
/** Bytes of one read: the usual size of the kernel's buffer. */
const PIECE_BYTES = 64 << 10;

/**
 * Reads a file that a flag names. It may be a FIFO, such as one of <(command). An ordinary read of a FIFO would wait for
 * a writer without a bound, and one of a device might never end.
 *
 * @throws The error of the file system, or an error that says what is at the path.
 */
export async function readInputFile(path: string, timeoutMs: number = WRITER_MS): Promise<Uint8Array> {
  const found = await stat(path);
  if (found.isFIFO()) return await readFifo(path, timeoutMs);
  if (found.isSocket() || found.isCharacterDevice() || found.isBlockDevice()) {
    throw new Error(`it is a ${found.isSocket() ? 'socket' : 'device'}, expected a file`);
  }
  return await readFile(path);
}

async function readFifo(path: string, timeoutMs: number): Promise<Uint8Array> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    const readNext = (): number | undefined => {
      const piece = new Uint8Array(PIECE_BYTES);
      const count = readSync(fd, piece, 0, PIECE_BYTES, null);
      // Without a writer there are 0 bytes, before it opens the FIFO and after it has closed it.
      if (count === 0) return sizeBytes === 0 ? 0 : undefined;
      pieces.push(piece.subarray(0, count));
      sizeBytes += count;
      if (sizeBytes > MAX_FIFO_BYTES) throw new Error(`it has more than ${MAX_FIFO_BYTES} bytes`);
      return count;
    };
    const late = `it is a FIFO whose writer sent nothing for ${timeoutMs} ms`;
    await untilTransferred(readNext, { timeoutMs, late });
    return Buffer.concat(pieces);
  } finally {
    closeSync(fd);
  }
}
