// The broadcast group that is created before the first update: two ranks in this process, over shared memory.
import { createHostDevice } from '@checkpoint-engine/device';
import type { BroadcastTransport, JoinOptions, Logger } from '@checkpoint-engine/interface';
import { openStore, ParameterServer } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { overHostMemory } from './v1-host-memory.ts';

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()));
});

interface Joins {
  count: number;
  /** Joins that fail, from the first one on. */
  failing: number;
}

/** Shared memory that counts who joins a group. */
function counting(joins: Joins): BroadcastTransport {
  const transport = shm();
  const join = transport.join.bind(transport);
  return Object.assign(transport, {
    join: async (options: JoinOptions) => {
      joins.count++;
      if (joins.failing-- > 0) throw new Error('no link');
      return await join(options);
    },
  });
}

async function start(failing = 0): Promise<{ servers: ParameterServer[]; joins: Joins[]; warnings: string[] }> {
  const port = await freePort();
  const joins: Joins[] = [];
  const warnings: string[] = [];
  const keep = (_: object, message: string): void => void warnings.push(message);
  const logger: Logger = { debug: () => {}, info: () => {}, warn: keep, error: () => {} };
  const servers = await Promise.all(
    [0, 1].map(async (rank) => {
      const store = await openStore({ rank, worldSize: 2, masterAddr: '127.0.0.1', masterPort: port });
      const device = await createHostDevice({ index: rank });
      joins[rank] = { count: 0, failing };
      const broadcast = counting(joins[rank]);
      const server = await ParameterServer.create({ store, device, broadcast, protocol: overHostMemory, logger });
      const bytes = new Uint8Array(1024).fill(rank);
      const tensors = [{ name: `t${rank}`, dtype: 'U8' as const, shape: [1024], bytes }];
      await server.registerCheckpoint('c', { tensors });
      open.push(async () => {
        await server.close();
        await broadcast.close();
        await store.close();
        await device.close();
      });
      return server;
    }),
  );
  await Promise.all(servers.map((server) => server.gatherMetas('c')));
  return { servers, joins, warnings };
}

/** An update up to the request to the engine, which refuses it: the group exists by then. */
async function updateUntilRefused(servers: readonly ParameterServer[]): Promise<void> {
  const requestEngine = async (): Promise<void> => {
    throw new Error('the engine refuses');
  };
  const ended = await Promise.allSettled(servers.map((s) => s.update('c', { requestEngine, timeoutMs: 30_000 })));
  for (const one of ended) expect(String((one as PromiseRejectedResult).reason)).toContain('the engine refuses');
}

it('is the group of the first update, even if that does not wait for it', async () => {
  const { servers, joins, warnings } = await start();
  const connecting = servers.map((server) => server.connect());
  await updateUntilRefused(servers);
  await Promise.all(connecting);
  expect(joins.map(({ count }) => count)).toEqual([1, 1]);
  expect(warnings.filter((text) => text.includes('in advance'))).toEqual([]);
});

it('is created by the update if it could not be created in advance', async () => {
  const { servers, joins, warnings } = await start(1);
  await Promise.all(servers.map((server) => server.connect()));
  expect(warnings.filter((text) => text.includes('in advance'))).toHaveLength(2);
  await updateUntilRefused(servers);
  expect(joins.map(({ count }) => count)).toEqual([2, 2]);
});

it('is not created if a rank opts out', async () => {
  const { servers, joins } = await start();
  await Promise.all(servers.map((server, rank) => server.connect({ isWanted: async () => rank === 0 })));
  expect(joins.map(({ count }) => count)).toEqual([0, 0]);
  await updateUntilRefused(servers);
  expect(joins.map(({ count }) => count)).toEqual([1, 1]);
});

it('does not block other ranks if one rank does not create it', async () => {
  const { servers } = await start();
  const connecting = servers[0]!.connect({ timeoutMs: 60_000 });
  await servers[0]!.close();
  await connecting;
  await expect(servers[0]!.connect()).rejects.toMatchObject({ code: 'CE_CLOSED' });
});
