// One rank in a separate process, which the parent controls.
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import type { Device } from '@checkpoint-engine/interface';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { LoopWatch } from '../report/loop-watch.ts';
import { threadTime } from '../report/thread-time.ts';
import { openRank } from './open-rank.ts';
import type { RankCalls, RankTask } from './rank.ts';
import { serveCalls } from './serve-calls.ts';

const WATCH_EVERY_MS = 2;

const importsMs = performance.now();
const task = JSON.parse(process.argv[2]!) as RankTask;
const { device, deviceMadeAtMs, store, server, engine, close } = await openRank(task);
const startedAtMs = performance.timeOrigin;
const deviceMs = deviceMadeAtMs - startedAtMs - importsMs;
const joinMs = performance.now() - importsMs - deviceMs;
const loop = new LoopWatch();
let isWatching = false;

serveCalls<RankCalls>(
  {
    started: async () => ({ startedAtMs, importsMs, deviceMs, joinMs }),
    async register({ checkpoint, files, stream, isAlone = false }) {
      if (!isAlone) await store.barrier('register');
      const startedAtMs = performance.now();
      const { poolBytes, sizeBytes } = await server.registerCheckpoint(checkpoint, {
        files,
        inPlace: false,
        keepFiles: true,
        stream: stream !== undefined,
        hostMemoryBytes: stream?.hostMemoryBytes,
      });
      return { durationMs: performance.now() - startedAtMs, poolBytes, sizeBytes };
    },
    unregister: async ({ checkpoint }) => server.unregisterCheckpoint(checkpoint),
    async gather({ checkpoint }) {
      await store.barrier('gather');
      const startedAtMs = performance.now();
      const metas = await server.gatherMetas(checkpoint);
      const durationMs = performance.now() - startedAtMs;
      return { durationMs, metas: Buffer.from(encodeWorldMetas(metas)).toString('base64') };
    },
    load: async ({ metas }) => {
      server.loadMetas(decodeWorldMetas(new Uint8Array(Buffer.from(metas, 'base64'))));
    },
    async update({ checkpoint, variant, watchMemory = false, dieAtBroadcast }) {
      await store.barrier('update');
      const events: ProgressEvent[] = [];
      let broadcasts = 0;
      const watch = watchMemory ? watchUsedBytes(device) : undefined;
      const { busyMs } = threadTime();
      const startedAtMs = performance.now();
      const result = await server.update(checkpoint, {
        ...variant,
        requestEngine: ({ handles, signal, timeoutMs }) => engine!.update({ handles, signal, timeoutMs }),
        inferenceParallelSize: 1,
        onEvent: (event) => {
          events.push(event);
          // The broadcast is running at the next event after its start, so this rank dies during the broadcast.
          if (event.type === 'bucket-start' && event.stage === 'broadcast' && ++broadcasts === dieAtBroadcast) {
            process.kill(process.pid, 'SIGKILL');
          }
        },
      });
      const updateMs = performance.now() - startedAtMs;
      return { updateMs, busyMs: threadTime().busyMs - busyMs, result, events, ...watch?.() };
    },
    watch: async ({ isOn }) => {
      isWatching = isOn;
      if (isOn) loop.start();
      else loop.stop();
    },
    async usage() {
      const pauses = loop.take();
      if (isWatching) loop.start();
      return {
        pauses,
        openFiles: readdirSync('/proc/self/fd').length,
        residentBytes: statusBytes('VmRSS'),
        peakResidentBytes: statusBytes('VmHWM'),
        deviceUsedBytes: usedBytesOf(device),
      };
    },
  },
  async () => {
    loop.stop();
    await close();
  },
);

function watchUsedBytes(of: Device): () => { usedBeforeBytes: number; usedPeakBytes: number } {
  const usedBeforeBytes = usedBytesOf(of);
  let usedPeakBytes = usedBeforeBytes;
  const timer = setInterval(() => {
    usedPeakBytes = Math.max(usedPeakBytes, usedBytesOf(of));
  }, WATCH_EVERY_MS);
  return () => {
    clearInterval(timer);
    return { usedBeforeBytes, usedPeakBytes };
  };
}

function usedBytesOf(of: Device): number {
  const { freeBytes, totalBytes } = of.memoryInfo();
  return totalBytes - freeBytes;
}

function statusBytes(field: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}
