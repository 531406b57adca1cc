import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { World } from './support/world.ts';

const ROUNDS = Number(process.env.PACE_ROUNDS ?? 6);
const UPDATES = 6;
const MOST_TIMES = Number(process.env.PACE_MOST_TIMES ?? 1.2);

const medianOf = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Whether updates keep their pace beside strangers at the store, the worker addresses, the mesh and the P2P sockets. */
describe.each([
  ['a broadcast to all ranks', {}],
  ['a read of one rank by P2P', { ranks: [1] }],
] as const)('%s', (what, options) => {
  let checkpoint: TestCheckpoint;
  let world: World;

  beforeAll(async () => {
    checkpoint = await writeCheckpoint(mixedTensors(400), { shardCount: 2 });
    world = await World.start(2, { p2p: 'shm' });
    await world.register('a', { files: checkpoint.folder });
    await world.gather('a');
    await measure(world, 5);
  }, 120_000);
  afterAll(async () => {
    await world?.end();
    await checkpoint?.remove();
  });

  async function measure(on: World, count: number): Promise<number[]> {
    const timesMs: number[] = [];
    for (let i = 0; i < count; i++) {
      const startedAt = performance.now();
      await on.update('a', { ...options, bucketBytes: 2 ** 20 });
      timesMs.push(performance.now() - startedAt);
    }
    return timesMs;
  }

  it.each(['idle', 'dribble', 'flood', 'garbage'])('keeps its pace beside strangers that are %s', async (mode) => {
    const alone: number[] = [];
    const beside: number[] = [];
    let connections = 0;
    // In turns, so that what else the machine does meets both.
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(...(await measure(world, UPDATES)));
      const strangers = await startStrangers(mode, world.port);
      beside.push(...(await measure(world, UPDATES)));
      connections += await endStrangers(strangers);
    }
    const [aloneMs, besideMs] = [medianOf(alone), medianOf(beside)];
    const figures = `alone ${aloneMs.toFixed(1)} ms, beside ${besideMs.toFixed(1)} ms, ${(besideMs / aloneMs).toFixed(2)} times`;
    console.info(`${what}, ${mode}: ${figures} (medians of ${alone.length}, ${connections} connections)`);
    expect(besideMs / aloneMs).toBeLessThan(MOST_TIMES);
  });
});

async function startStrangers(mode: string, port: number): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('support/stranger-process.mjs', import.meta.url));
  const strangers = fork(program, [mode, String(port)]);
  await once(strangers, 'message');
  await new Promise((resolve) => setTimeout(resolve, 300));
  return strangers;
}

/** Gives how many connections they made. */
async function endStrangers(strangers: ChildProcess): Promise<number> {
  const answered = once(strangers, 'message');
  strangers.send('total');
  const [{ total }] = (await answered) as [{ total: number }];
  const exited = once(strangers, 'exit');
  strangers.kill('SIGKILL');
  await exited;
  return total;
}
