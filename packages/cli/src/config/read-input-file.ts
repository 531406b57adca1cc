import { close, constants, openSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Socket } from 'node:net';

/** Time limit for the writer of a FIFO to send the next bytes. */
const WRITER_MS = 10_000;
const MAX_FIFO_BYTES = 2 ** 30;

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
  let socket: Socket;
  try {
    socket = new Socket({ fd, readable: true, writable: false });
  } catch (error) {
    close(fd, () => {});
    throw error;
  }
  const late = new Error(`it is a FIFO whose writer sent nothing for ${timeoutMs} ms`);
  const timer = setTimeout(() => socket.destroy(late), timeoutMs);
  try {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const piece of socket as AsyncIterable<Uint8Array>) {
      timer.refresh();
      pieces.push(piece);
      sizeBytes += piece.byteLength;
      if (sizeBytes > MAX_FIFO_BYTES) throw new Error(`it has more than ${MAX_FIFO_BYTES} bytes`);
    }
    if (sizeBytes === 0) throw new Error('its writer sent nothing');
    return joined(pieces, sizeBytes);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

function joined(pieces: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const all = new Uint8Array(sizeBytes);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.byteLength;
  }
  return all;
}
