// One rank in a separate process that the test controls over the message channel: {id, call, args} -> {id, ok | error}.
import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import { openStore, ParameterServer, v2Protocol } from '@checkpoint-engine/ps';
import { shm, shmP2P } from '@checkpoint-engine/transport-shm';
import { serveCalls } from './serve-calls.mjs';

let device;
let store;
let broadcast;
let p2p;
let server;
let updating = new AbortController();
let nextRequest = 0;
let delay;
const requests = new Map();

/** Lets the test pass the addresses to the workers, as an engine's HTTP API would. */
function requestEngine({ handles, groupIndex }) {
  return new Promise((resolve, reject) => {
    const request = nextRequest++;
    requests.set(request, { resolve, reject });
    process.send({ request, handles, groupIndex });
  });
}

/** `shm`, or the options of Mooncake. */
async function openP2P(wanted) {
  if (wanted === undefined) return undefined;
  if (wanted === 'shm') return shmP2P({ unregisterTimeoutMs: 5_000 });
  const { rdma } = await import('@checkpoint-engine/transport-rdma');
  return rdma(wanted);
}

const calls = {
  async start({ rank, worldSize, port, token, directory, timeoutMs = 20_000, lostAfterMs, ...transports }) {
    const { device: kind = 'host' } = transports;
    device =
      kind === 'cuda'
        ? await createCudaDevice()
        : await createHostDevice({ index: rank, ...(directory && { directory }) });
    const { masterAddr = '127.0.0.1' } = transports;
    const master = { masterAddr, masterPort: port };
    store = await openStore({ rank, worldSize, ...master, token, timeoutMs, lostAfterMs });
    broadcast = worldSize > 1 && transports.broadcast !== false ? shm() : undefined;
    p2p = await openP2P(transports.p2p);
    const { nics, sharePools, host } = transports;
    server = await ParameterServer.create({
      ...{ store, device, broadcast, p2p, nics, sharePools, host },
      protocol: v2Protocol(),
    });
  },
  register: ({ name, source, options }) => server.registerCheckpoint(name, source, options),
  unregister: ({ name }) => server.unregisterCheckpoint(name),
  removeFiles: ({ name }) => server.removeFiles(name),
  loaded: ({ name }) => server.checkpointLoaded(name),
  gather: async ({ name }) => (await server.gatherMetas(name)).reduce((sum, { tensors }) => sum + tensors.length, 0),
  heldBytes: ({ name }) => server.getMetas(name)[store.rank].tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  metas: ({ name }) => Buffer.from(encodeWorldMetas(server.getMetas(name))).toString('base64'),
  load({ metas, fallbacks = [] }) {
    const [world, ...others] = [metas, ...fallbacks].map((text) => decodeWorldMetas(Buffer.from(text, 'base64')));
    server.loadMetas(world, { fallbacks: others });
  },
  update({ name, options }) {
    updating = new AbortController();
    return server.update(name, {
      requestEngine,
      ...options,
      signal: updating.signal,
      onEvent(event) {
        if (event.type === 'bucket-end') process.send({ bucketEnd: event });
        if (event.type === 'plan') process.send({ plan: event });
      },
    });
  },
  abort: () => updating.abort(),
  /** The resources of this process, and the longest pause of its event loop since the last call. */
  usage() {
    delay ??= monitorEventLoopDelay({ resolution: 5 });
    const longestPauseMs = Math.max(0, delay.max / 1e6 - 5);
    delay.reset();
    delay.enable();
    return { longestPauseMs, openFiles: readdirSync('/proc/self/fd').length, residentBytes: process.memoryUsage.rss() };
  },
  /** Maximum bytes of memory that this process has had at a time. */
  peakBytes: () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024,
  async close() {
    await server?.close();
    await broadcast?.close();
    await p2p?.close();
    await store?.close();
    await device?.close();
    setImmediate(() => process.disconnect());
  },
};

serveCalls(calls, ({ request, error }) => {
  const { resolve, reject } = requests.get(request);
  requests.delete(request);
  if (error === undefined) resolve();
  else reject(CheckpointEngineError.fromJSON(error));
});
