// One rank of a benchmark: registers, gathers, updates as often as asked, and sends its figures to the parent.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProgressEvent, RegisteredCheckpoint, Stage, UpdateResult } from '@checkpoint-engine/ps';
import { type LoopPauses, LoopWatch } from '../report/loop-watch.ts';
import { threadTime } from '../report/thread-time.ts';
import { openRank, type RankIdentity } from './open-rank.ts';

/** What the parent passes as the only argument, in JSON. */
export interface RankTask extends RankIdentity {
  readonly files: readonly string[];
  readonly registers: number;
  /** Say when it could register or update, and wait for any message of the parent before each time. @default false */
  readonly waits?: boolean | undefined;
  readonly updates: number;
  /** Updates after those in which the event loop is watched, which costs time. @default those themselves are watched */
  readonly watchedUpdates?: number | undefined;
  /** Read the files during the update, into at most so much host memory. @default register them into a pool */
  readonly stream?: { readonly hostMemoryBytes?: number | undefined } | undefined;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  readonly releaseCommunicators?: boolean | undefined;
}

/** What a rank measured. */
export interface RankFigures {
  /** One figure a registration; the first warms memory up. */
  readonly registerMs: readonly number[];
  readonly gatherMs: number;
  /** From the device made to the worker's last acknowledgement in the first update. */
  readonly firstAckMs: number;
  readonly updateMs: readonly number[];
  readonly results: readonly UpdateResult[];
  readonly sizeBytes: number;
  readonly poolBytes: number;
  /** Pauses of the event loop while bytes moved, registration and updates apart. */
  readonly registerPauses: LoopPauses;
  readonly updatePauses: LoopPauses;
  /** Time on a core of the JavaScript thread, by update. */
  readonly updateBusyMs: readonly number[];
  readonly peakRssBytes: number;
  /** Memory of its own before anything was registered. */
  readonly baseBytes: number;
  /** Of the last update. */
  readonly events: readonly ProgressEvent[];
}

const task = JSON.parse(process.argv[2]!) as RankTask;
const watch = new LoopWatch();
/** The system gives memory back in the background: the next registration is not to wait for it. */
const SETTLE_MS = 100;
const { deviceMadeAtMs, store, server, engine, close } = await openRank(task);

const baseBytes = statusBytes('RssAnon');
const registerMs: number[] = [];
let registered!: RegisteredCheckpoint;
for (let round = 0; round < task.registers; round++) {
  if (round > 0) {
    await server.unregisterCheckpoint('weights');
    await sleep(SETTLE_MS);
  }
  await waitForTurn();
  await store.barrier('register');
  watch.start();
  registered = await server.registerCheckpoint('weights', {
    files: task.files,
    inPlace: false,
    keepFiles: true,
    stream: task.stream !== undefined,
    hostMemoryBytes: task.stream?.hostMemoryBytes,
  });
  watch.stop();
  registerMs.push(registered.durationMs);
}
const registerPauses = watch.take();
await store.barrier('registered');
const gatherStartedAtMs = performance.now();
await server.gatherMetas('weights');
const gatherMs = performance.now() - gatherStartedAtMs;
const updateMs: number[] = [];
const updateBusyMs: number[] = [];
const results: UpdateResult[] = [];
let events: ProgressEvent[] = [];
let firstAckMs = 0;
for (let round = 0; round < task.updates + (task.watchedUpdates ?? 0); round++) {
  await waitForTurn();
  await store.barrier('update');
  const isTimed = round < task.updates;
  events = [];
  if (!isTimed || task.watchedUpdates === undefined) watch.start();
  const { busyMs } = threadTime();
  const startedAtMs = performance.now();
  results.push(
    await server.update('weights', {
      requestEngine: ({ handles, signal, timeoutMs }) => engine.update({ handles, signal, timeoutMs }),
      inferenceParallelSize: 1,
      bucketBytes: task.bucketBytes,
      deviceMemoryBytes: task.deviceMemoryBytes,
      releaseCommunicators: task.releaseCommunicators,
      onEvent: (event) => events.push(event),
    }),
  );
  watch.stop();
  if (!isTimed) continue;
  updateMs.push(performance.now() - startedAtMs);
  if (round === 0) firstAckMs = lastEndMs(events, 'reload') - deviceMadeAtMs;
  updateBusyMs.push(threadTime().busyMs - busyMs);
}
const figures: RankFigures = {
  registerMs,
  gatherMs,
  firstAckMs,
  updateMs,
  results,
  sizeBytes: registered.sizeBytes,
  poolBytes: registered.poolBytes,
  registerPauses,
  updatePauses: watch.take(),
  updateBusyMs,
  peakRssBytes: statusBytes('VmHWM'),
  baseBytes,
  events,
};
await new Promise((resolve) => process.send!(figures, undefined, undefined, resolve));
await close();
process.disconnect();

async function waitForTurn(): Promise<void> {
  if (!task.waits) return;
  const told = once(process, 'message');
  process.send!('could go on');
  await told;
}

function statusBytes(field: 'RssAnon' | 'VmHWM'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

function lastEndMs(of: readonly ProgressEvent[], stage: Stage): number {
  return Math.max(...of.map((event) => (event.type === 'bucket-end' && event.stage === stage ? event.atMs : 0)));
}
