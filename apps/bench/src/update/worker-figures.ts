import type { WorkerClock } from '../world/engine-process.ts';

/**
 * The worker's own clock during an update: its own time, which no sender can shorten, separate from its time of waiting
 * for its sender. Milliseconds, and microseconds for each tensor.
 */
export function workerFigures(worker: WorkerClock, updateMs: number, tensorCount: number): Record<string, number> {
  const ownMs =
    (worker.handle_seconds + worker.bucket_busy_seconds + worker.release_seconds + worker.hook_seconds) * 1e3;
  const calls = Object.entries(worker.release_call_seconds);
  const otherSeconds = calls.reduce((left, [, seconds]) => left - seconds, worker.release_seconds);
  return {
    'worker ms': ownMs,
    'worker loading ms': worker.bucket_busy_seconds * 1e3,
    'worker waiting ms': worker.bucket_wait_seconds * 1e3,
    'worker release ms': worker.release_seconds * 1e3,
    ...Object.fromEntries(calls.map(([name, seconds]) => [`release ${name} ms`, seconds * 1e3])),
    'release, closing the buffer ms': otherSeconds * 1e3,
    'worker us/tensor': (ownMs / tensorCount) * 1e3,
    'sender us/tensor': (Math.max(0, updateMs - ownMs) / tensorCount) * 1e3,
  };
}
