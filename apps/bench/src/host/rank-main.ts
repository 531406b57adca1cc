// One rank of the host benchmark: registers, gathers, updates as often as asked, and sends its figures to the parent.
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { openStore, ParameterServer, type UpdateResult, v2Protocol, workerEngine } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';

/** What the parent passes as the only argument, in JSON. */
export interface RankTask {
  readonly rank: number;
  readonly worldSize: number;
  readonly port: number;
  readonly files: readonly string[];
  readonly workerSocket: string;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
}

/** What a rank measured. */
export interface RankFigures {
  readonly registerMs: number;
  readonly gatherMs: number;
  readonly updateMs: readonly number[];
  readonly results: readonly UpdateResult[];
  readonly sizeBytes: number;
  readonly poolBytes: number;
  /** Longest pause of the event loop while bytes moved, registration and updates apart. */
  readonly registerPauseMs: number;
  readonly updatePauseMs: number;
  readonly peakRssBytes: number;
}

const task = JSON.parse(process.argv[2]!) as RankTask;
const delay = monitorEventLoopDelay({ resolution: 5 });
const device = await createHostDevice({ index: task.rank });
const store = await openStore({
  rank: task.rank,
  worldSize: task.worldSize,
  masterAddr: '127.0.0.1',
  masterPort: task.port,
});
const broadcast = task.worldSize > 1 ? shm() : undefined;
const server = await ParameterServer.create({ store, device, broadcast, protocol: v2Protocol() });
const engine = workerEngine({ endpoints: [{ url: 'http://worker', uds: task.workerSocket }] });

await store.barrier('start');
delay.enable();
const registered = await server.registerCheckpoint('weights', { files: task.files, inPlace: false });
delay.disable();
const registerPauseMs = delay.max / 1e6;
await store.barrier('registered');
const gatherStartedAtMs = performance.now();
await server.gatherMetas('weights');
const gatherMs = performance.now() - gatherStartedAtMs;
const updateMs: number[] = [];
const results: UpdateResult[] = [];
delay.reset();
for (let round = 0; round < task.updates; round++) {
  await store.barrier('update');
  delay.enable();
  const startedAtMs = performance.now();
  results.push(
    await server.update('weights', {
      requestEngine: ({ handles, signal, timeoutMs }) => engine.update({ handles, signal, timeoutMs }),
      inferenceParallelSize: 1,
      bucketBytes: task.bucketBytes,
    }),
  );
  updateMs.push(performance.now() - startedAtMs);
  delay.disable();
}
const figures: RankFigures = {
  registerMs: registered.durationMs,
  gatherMs,
  updateMs,
  results,
  sizeBytes: registered.sizeBytes,
  poolBytes: registered.poolBytes,
  registerPauseMs,
  updatePauseMs: delay.max / 1e6,
  peakRssBytes: Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024,
};
process.send!(figures);
await server.close();
await broadcast?.close();
await store.close();
await device.close();
process.disconnect();
