import type { Device } from '@checkpoint-engine/interface';

/** The rate of pinned host-to-device copies on this machine: the floor of every update. */
export interface H2dFloor {
  readonly rateGBps: number;
  readonly sizeBytes: number;
}

/** Copies one pinned buffer to the device in slices of a bucket's size, several times, and returns the best rate. */
export async function measureH2d(
  device: Device,
  sizeBytes: number = 2 ** 30,
  sliceBytes: number = 128 * 2 ** 20,
): Promise<H2dFloor> {
  const host = await device.allocateHost(sizeBytes);
  const target = await device.allocate(sliceBytes);
  const stream = device.createStream('floor');
  try {
    await host.write(0, new Uint8Array(1));
    await host.pin();
    let bestMs = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const startedAtMs = performance.now();
      const copies = [];
      for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += sliceBytes) {
        copies.push({
          from: { memory: host, offsetBytes, sizeBytes: sliceBytes },
          to: { memory: target, offsetBytes: 0, sizeBytes: sliceBytes },
        });
      }
      await stream.copy(copies);
      bestMs = Math.min(bestMs, performance.now() - startedAtMs);
    }
    return { rateGBps: sizeBytes / bestMs / 1e6, sizeBytes };
  } finally {
    await stream.close();
    target.close();
    host.close();
  }
}
