import { createHostDevice } from '@checkpoint-engine/device';

const STEP_BYTES = 2 ** 20;

/** The passes over memory that updates and checks consist of, with all threads of a device. */
export interface MemoryFloors {
  /** Milliseconds of one copy: each byte is read once and written once. */
  copyMs(): Promise<number>;
  /** Milliseconds of one digest: each byte is read once. */
  digestMs(): Promise<number>;
  close(): Promise<void>;
}

/** Needs twice this many bytes of memory. */
export async function memoryFloors(sizeBytes: number): Promise<MemoryFloors> {
  const device = await createHostDevice();
  const [from, to] = [await device.allocateHost(sizeBytes), await device.allocateHost(sizeBytes)];
  for (let at = 0; at < sizeBytes; at += STEP_BYTES) {
    const size = Math.min(STEP_BYTES, sizeBytes - at);
    from.view(at, size).fill(at / STEP_BYTES);
    to.view(at, size).fill(1);
  }
  const stream = device.createStream('floor');
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now();
    await work();
    return performance.now() - startMs;
  };
  const rangeOf = (memory: typeof from) => ({ memory, offsetBytes: 0, sizeBytes });
  const range = { offsetBytes: 0, sizeBytes, positionBytes: 0, sum: 0 };
  return {
    copyMs: () => timed(() => stream.copy([{ from: rangeOf(from), to: rangeOf(to) }])),
    digestMs: () => timed(() => to.digest!({ ranges: [range], blockBytes: 0, sumCount: 1 })),
    async close() {
      await stream.close();
      from.close();
      to.close();
      await device.close();
    },
  };
}
