import { setImmediate } from 'node:timers';
import type { ZmqSocket } from './zmq/socket.ts';

/** A stream of messages that have already arrived does not block the event loop for longer than this. */
const SLICE_MS = 8;

/** Passes every message to `take`, in order, until the socket is closed. */
export async function pump(socket: ZmqSocket, take: (frames: Uint8Array[]) => void): Promise<void> {
  let sliceEndsAt = performance.now() + SLICE_MS;
  while (!socket.closed) {
    let frames: Uint8Array[];
    try {
      frames = await socket.receive({ timeoutMs: Number.POSITIVE_INFINITY });
    } catch (error) {
      if (socket.closed) return;
      throw error;
    }
    take(frames);
    if (performance.now() < sliceEndsAt) continue;
    await new Promise((resolve) => setImmediate(resolve));
    sliceEndsAt = performance.now() + SLICE_MS;
  }
}
