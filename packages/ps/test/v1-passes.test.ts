// Workers that load several times through one address in one update, as SGLang's do with a draft model: two ranks, and
// the Python tool's own worker, or one that needs no torch and only reports what it received.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createHostDevice } from '@checkpoint-engine/device';
import { type EngineRequest, openStore, ParameterServer } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { overHostMemory } from './v1-host-memory.ts';
import { python, reasonToSkip, scriptPath } from './v1-python.ts';

const WORKERS = [
  {
    who: "the Python tool's worker",
    reason: reasonToSkip('torch', 'zmq', 'checkpoint_engine.worker'),
    args: (address: string, sessions: number) => [scriptPath('v1-interop.py'), address, '-', `${sessions}`],
  },
  {
    who: 'a worker without torch',
    reason: reasonToSkip('zmq'),
    args: (address: string, sessions: number) => [scriptPath('v1-peer.py'), address, JSON.stringify({ sessions })],
  },
];

interface Event {
  readonly event: string;
  readonly name?: string;
  readonly sha256?: string;
  /** The report of a worker without torch about a bucket. */
  readonly tensors?: readonly [name: string][];
}

describe.each(WORKERS)('an update that loads again into $who', ({ reason, args }) => {
  const closers: (() => unknown)[] = [];
  const servers: ParameterServer[] = [];
  let checkpoint: TestCheckpoint;
  let heard: Event[][];
  let sessions = 1;

  beforeAll(async () => {
    if (reason) return;
    checkpoint = await writeCheckpoint(mixedTensors(30));
    const port = await freePort();
    await Promise.all(
      [0, 1].map(async (rank) => {
        // The addresses of v1 contain the device and the second: another suite must not have this device.
        const device = await createHostDevice({ index: 2 * process.pid + rank });
        const store = await openStore({ rank, worldSize: 2, masterAddr: '127.0.0.1', masterPort: port });
        const broadcast = shm();
        servers[rank] = await ParameterServer.create({ store, device, broadcast, protocol: overHostMemory });
        await servers[rank].registerCheckpoint('a', { files: checkpoint.folder, stream: rank === 1 });
        closers.push(async () => {
          await servers[rank]!.close();
          await broadcast.close();
          await store.close();
          await device.close();
        });
      }),
    );
    await Promise.all(servers.map((server) => server.gatherMetas('a')));
  });

  afterAll(async () => {
    await Promise.all(closers.map((close) => close()));
    await checkpoint?.remove();
  });

  /** Plays the engine: a worker for each address; answers when all have ended. */
  async function requestEngine({ handles, signal }: EngineRequest): Promise<void> {
    const workers = Object.values(handles).map((address, index): [ChildProcess, Promise<void>] => {
      const child = spawn(python, args(address, sessions), { stdio: ['ignore', 'pipe', 'inherit'], signal });
      child.on('error', () => {});
      const listen = async (): Promise<void> => {
        const events: Event[] = [];
        heard[index] = events;
        for await (const line of createInterface({ input: child.stdout! })) events.push(JSON.parse(line) as Event);
      };
      return [child, listen()];
    });
    await Promise.all(workers.map(async ([child, listened]) => Promise.all([once(child, 'exit'), listened])));
    if (heard.some((events) => events.at(-1)?.event !== 'end')) throw new Error('A worker did not end well');
  }

  it.skipIf(reason).each([1, 3])('delivers everything %i times', async (count) => {
    sessions = count;
    heard = [];
    const options = { requestEngine, passes: 'any', bucketBytes: 64 * 1024, timeoutMs: 50_000 } as const;
    await Promise.all(servers.map((server) => server.update('a', options)));
    for (const events of heard) {
      expect(events.filter(({ event }) => event === 'hook')).toHaveLength(count);
      const told = events.flatMap(({ event, tensors = [] }) => (event === 'bucket' ? tensors : []));
      const tensors = events.filter(({ event }) => event === 'tensor');
      expect(told.length + tensors.length).toBe(30 * count);
      for (let pass = 0; pass < count; pass++) {
        const part = [30 * pass, 30 * (pass + 1)];
        const names = told.slice(...part).map(([name]) => name);
        const digests = tensors.slice(...part).map(({ name, sha256 }) => [name, sha256]);
        if (names.length > 0) expect(names.sort()).toEqual(Object.keys(checkpoint.digests).sort());
        else expect(Object.fromEntries(digests)).toEqual(checkpoint.digests);
      }
    }
  });

  it.skipIf(reason)('fails at once if the engine fails between two loads', async () => {
    sessions = 1;
    heard = [];
    const options = { passes: 'any', bucketBytes: 64 * 1024, timeoutMs: 50_000 } as const;
    const refused = async (request: EngineRequest): Promise<void> => {
      await requestEngine(request);
      throw new Error('the draft model does not load');
    };
    const ended = await Promise.allSettled(servers.map((s) => s.update('a', { ...options, requestEngine: refused })));
    for (const outcome of ended) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: expect.objectContaining({ name: expect.any(String) }),
      });
      expect(String((outcome as PromiseRejectedResult).reason)).toContain('the draft model does not load');
    }
  });
});
