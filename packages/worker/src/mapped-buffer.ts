import { Buffer } from 'node:buffer';
import { clearTimeout, setTimeout } from 'node:timers';
import type { Device, Memory, ServerWelcome } from '@checkpoint-engine/interface';

/** Time that a mapping waits for the next update: it keeps memory in use that the server may have freed. */
const IDLE_MS = 60_000;

/** The buffer that a server shares, during one update. */
export interface MappedBuffer {
  readonly memory: Memory;
  /**
   * Ends the use of the buffer. Idempotent.
   *
   * @param isSound The update has not failed so far.
   */
  close(isSound: boolean): void;
}

interface Kept {
  readonly memory: Memory;
  readonly key: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

const keptBy = new WeakMap<Device, Kept>();

/** Maps the buffer of an update. Keeps the mapping if the next update uses the same buffer. */
export async function mapBuffer(
  device: Device,
  welcome: ServerWelcome,
  idleMs: number = IDLE_MS,
): Promise<MappedBuffer> {
  const { handle, sizeBytes, bufferStays = false } = welcome;
  const key = `${sizeBytes}:${Buffer.from(handle).toString('latin1')}`;
  const kept = takeKept(device);
  const isSame = bufferStays && kept?.key === key;
  if (!isSame) kept?.memory.close();
  const memory = isSame ? kept.memory : await device.openShared(new Uint8Array(handle), sizeBytes);
  let isOpen = true;
  return {
    memory,
    close(isSound) {
      if (!isOpen) return;
      isOpen = false;
      if (isSound && bufferStays) keep(device, memory, key, idleMs);
      else memory.close();
    },
  };
}

function takeKept(device: Device): Kept | undefined {
  const kept = keptBy.get(device);
  clearTimeout(kept?.timer);
  keptBy.delete(device);
  return kept;
}

function keep(device: Device, memory: Memory, key: string, idleMs: number): void {
  takeKept(device)?.memory.close();
  const timer = setTimeout(() => {
    keptBy.delete(device);
    memory.close();
  }, idleMs);
  timer.unref();
  keptBy.set(device, { memory, key, timer });
}
