// One rank of the kill test, driven by the parent.
import process from 'node:process';
import { openRank } from '../world/open-rank.ts';
import { serveCalls } from '../world/serve-calls.ts';
import type { KillRankCalls, KillRankTask } from './kill-rank.ts';

const task = JSON.parse(process.argv[2]!) as KillRankTask;
const { device, server, engine, close } = await openRank(task);

serveCalls<KillRankCalls>(
  {
    register: async () => {
      await server.registerCheckpoint('weights', { files: task.files, inPlace: false, keepFiles: true });
    },
    gather: async () => {
      await server.gatherMetas('weights');
    },
    update: async ({ dieAtBroadcast, releaseCommunicators }) => {
      let broadcasts = 0;
      await server.update('weights', {
        requestEngine: ({ handles, signal, timeoutMs }) => engine.update({ handles, signal, timeoutMs }),
        inferenceParallelSize: 1,
        bucketBytes: task.bucketBytes,
        releaseCommunicators,
        onEvent: (event) => {
          // No event follows the start of a broadcast before it is under way: this rank dies in the middle of one.
          if (event.type === 'bucket-start' && event.stage === 'broadcast' && ++broadcasts === dieAtBroadcast) {
            process.kill(process.pid, 'SIGKILL');
          }
        },
      });
    },
    async usedBytes() {
      const { freeBytes, totalBytes } = device.memoryInfo();
      return totalBytes - freeBytes;
    },
  },
  close,
);
