// One rank that is measured, driven by the parent.
import { readFileSync } from 'node:fs';
import process from 'node:process';
import type { Device } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { openRank } from '../world/open-rank.ts';
import { serveCalls } from '../world/serve-calls.ts';
import type { MeasuredRankCalls, MeasuredRankTask } from './measured-rank.ts';

const WATCH_EVERY_MS = 2;

const importsMs = performance.now();
const task = JSON.parse(process.argv[2]!) as MeasuredRankTask;
const { device, deviceMadeAtMs, store, server, engine, close } = await openRank(task);
const bornAtMs = performance.timeOrigin;
const deviceMs = deviceMadeAtMs - bornAtMs - importsMs;
const joinMs = performance.now() - importsMs - deviceMs;

serveCalls<MeasuredRankCalls>(
  {
    started: async () => ({ bornAtMs, importsMs, deviceMs, joinMs }),
    async register({ checkpoint, files }) {
      await store.barrier('register');
      const startedAtMs = performance.now();
      const { poolBytes, sizeBytes } = await server.registerCheckpoint(checkpoint, {
        files,
        inPlace: false,
        keepFiles: true,
      });
      return { durationMs: performance.now() - startedAtMs, poolBytes, sizeBytes };
    },
    unregister: async ({ checkpoint }) => server.unregisterCheckpoint(checkpoint),
    async gather({ checkpoint }) {
      await store.barrier('gather');
      const startedAtMs = performance.now();
      await server.gatherMetas(checkpoint);
      return performance.now() - startedAtMs;
    },
    async update({ checkpoint, variant, watchMemory = false }) {
      await store.barrier('update');
      const events: ProgressEvent[] = [];
      const watch = watchMemory ? watchUsedBytes(device) : undefined;
      const startedAtMs = performance.now();
      const result = await server.update(checkpoint, {
        ...variant,
        requestEngine: ({ handles, signal, timeoutMs }) => engine.update({ handles, signal, timeoutMs }),
        inferenceParallelSize: 1,
        onEvent: (event) => events.push(event),
      });
      return { updateMs: performance.now() - startedAtMs, result, events, ...watch?.() };
    },
    peakRssBytes: async () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024,
  },
  close,
);

function watchUsedBytes(of: Device): () => { usedBeforeBytes: number; usedPeakBytes: number } {
  const used = (): number => of.memoryInfo().totalBytes - of.memoryInfo().freeBytes;
  const usedBeforeBytes = used();
  let usedPeakBytes = usedBeforeBytes;
  const timer = setInterval(() => {
    usedPeakBytes = Math.max(usedPeakBytes, used());
  }, WATCH_EVERY_MS);
  return () => {
    clearInterval(timer);
    return { usedBeforeBytes, usedPeakBytes };
  };
}
