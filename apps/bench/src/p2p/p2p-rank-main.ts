// A rank that serves what it registered to others, or joins with their metas, driven by the parent.
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import {
  localStore,
  openStore,
  ParameterServer,
  v1Protocol,
  v2Protocol,
  vllmEngine,
  workerEngine,
} from '@checkpoint-engine/ps';
import { nccl } from '@checkpoint-engine/transport-nccl';
import { rdma } from '@checkpoint-engine/transport-rdma';
import { shm } from '@checkpoint-engine/transport-shm';
import { LoopWatch } from '../report/loop-watch.ts';
import { serveCalls } from '../world/serve-calls.ts';
import type { P2PRankCalls, P2PRankTask } from './p2p-rank.ts';

const NAME = 'weights';
const task = JSON.parse(process.argv[2]!) as P2PRankTask;
const { rank, worldSize, port, engine } = task;
const device =
  task.device === 'host'
    ? await createHostDevice({ index: task.hostIndex ?? rank })
    : await createCudaDevice({ index: task.device });
const store =
  worldSize === 1 ? localStore() : await openStore({ rank, worldSize, masterAddr: '127.0.0.1', masterPort: port });
const broadcast = worldSize === 1 ? undefined : task.device === 'host' ? shm() : nccl();
const p2p = rdma(task.p2p);
const isPython = engine !== undefined && 'vllmUrl' in engine;
const protocol = isPython ? v1Protocol() : v2Protocol();
const server = await ParameterServer.create({ store, device, broadcast, p2p, nics: task.nics, protocol });
const client =
  engine === undefined
    ? undefined
    : 'vllmUrl' in engine
      ? vllmEngine({ endpoints: [{ url: engine.vllmUrl }] })
      : workerEngine({ endpoints: [{ url: 'http://worker', uds: engine.workerSocket }] });
const watch = new LoopWatch();
watch.start();

serveCalls<P2PRankCalls>(
  {
    register: (files) => server.registerCheckpoint(NAME, { files, inPlace: false, keepFiles: true }),
    async gather() {
      const metas = await server.gatherMetas(NAME);
      return Buffer.from(encodeWorldMetas(metas)).toString('base64');
    },
    async load(metas) {
      server.loadMetas(decodeWorldMetas(new Uint8Array(Buffer.from(metas, 'base64'))));
      return null;
    },
    async update(bucketBytes) {
      const takenAtMs: number[] = [];
      const { durationsMs } = await server.update(NAME, {
        requestEngine: ({ handles, signal, timeoutMs }) => client!.update({ handles, signal, timeoutMs }),
        inferenceParallelSize: 1,
        bucketBytes: bucketBytes ?? undefined,
        onEvent: (event) => {
          if (event.type === 'bucket-end' && event.stage === 'reload') takenAtMs.push(event.atMs);
        },
      });
      const gapsMs = takenAtMs.slice(1).map((atMs, index) => atMs - takenAtMs[index]!);
      return { totalMs: durationsMs.total, streamMs: durationsMs.stream, longestGapMs: Math.max(0, ...gapsMs) };
    },
    async usage() {
      const pauses = watch.take();
      watch.start();
      return {
        ...pauses,
        openFiles: readdirSync('/proc/self/fd').length,
        residentBytes: Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024,
        engineProcesses: readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
          .trim()
          .split(' ')
          .filter(Boolean).length,
      };
    },
  },
  async () => {
    watch.stop();
    await server.close();
    await broadcast?.close();
    await p2p.close();
    await store.close();
    await device.close();
  },
);
