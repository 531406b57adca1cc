// The first rank of each group determines the protocol of its engine's workers, and the other ranks use the same one.
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { type ChoiceRequest, type EngineRequest, openStore, ParameterServer } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';

describe('chooseWorkers', () => {
  const devices: HostDevice[] = [];
  const servers: ParameterServer[] = [];
  const closers: (() => unknown)[] = [];
  let checkpoint: TestCheckpoint;

  beforeAll(async () => {
    checkpoint = await writeCheckpoint(mixedTensors(20));
    const masterPort = await freePort();
    await Promise.all(
      [0, 1].map(async (rank) => {
        devices[rank] = await createHostDevice({ index: rank });
        const store = await openStore({ rank, worldSize: 2, masterAddr: '127.0.0.1', masterPort });
        const broadcast = shm();
        servers[rank] = await ParameterServer.create({ store, device: devices[rank], broadcast });
        await servers[rank].registerCheckpoint('a', { files: checkpoint.folder });
        closers.push(async () => {
          await servers[rank]!.close();
          await broadcast.close();
          await store.close();
          await devices[rank]!.close();
        });
      }),
    );
    await Promise.all(servers.map((server) => server.gatherMetas('a')));
  });
  afterAll(async () => {
    await Promise.all(closers.map((close) => close()));
    await checkpoint?.remove();
  });

  /** Simulates an engine whose workers load this many times. */
  const engineOf =
    (passes: number) =>
    async ({ handles, signal, loaded }: EngineRequest): Promise<void> => {
      await Promise.all(
        devices.map(async (device) => {
          if (!(device.uuid in handles)) return;
          const worker = copyingWorker({ device });
          for (let pass = 0; pass < passes; pass += 1) {
            await worker.receive(await receiveUpdate(handles[device.uuid]!, { device, signal }));
            expect(worker.tensors.size).toBe(20);
          }
          await worker.close();
        }),
      );
      // It resolves although the engine has not answered yet.
      await loaded;
    };

  it.each([
    ['one', 1],
    ['any', 3],
  ] as const)('is asked once per group, and receives everything: passes %s', async (passes, count) => {
    const asked: number[] = [];
    const chooseWorkers = async ({ groupIndex }: ChoiceRequest) => {
      asked.push(groupIndex);
      return { workers: 'v2', passes } as const;
    };
    const options = { chooseWorkers, requestEngine: engineOf(count), bucketBytes: 64 * 1024, timeoutMs: 30_000 };
    await Promise.all(servers.map((server) => server.update('a', options)));
    expect(asked).toEqual([0]);
    asked.length = 0;
    const each = { ...options, inferenceParallelSize: 1 };
    await Promise.all(servers.map((server) => server.update('a', each)));
    expect(asked.toSorted()).toEqual([0, 1]);
  });

  it('fails the update on all ranks if the engine does not answer', async () => {
    const chooseWorkers = async (): Promise<never> => {
      throw new Error('nobody listens');
    };
    const options = { chooseWorkers, requestEngine: engineOf(1), timeoutMs: 30_000 };
    const results = await Promise.allSettled(servers.map((server) => server.update('a', options)));
    for (const result of results) expect(String((result as PromiseRejectedResult).reason)).toMatch(/nobody listens/);
  });

  it('refuses ranks if only some of them choose', async () => {
    const chooseWorkers = async () => ({ workers: 'v2', passes: 'one' }) as const;
    const options = { requestEngine: engineOf(1), timeoutMs: 30_000 };
    const updates = [servers[0]!.update('a', { ...options, chooseWorkers }), servers[1]!.update('a', options)];
    for (const result of await Promise.allSettled(updates)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'CE_PLAN_MISMATCH' } });
    }
  });
});
