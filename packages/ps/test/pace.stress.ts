// Takes minutes; PACE_ROUNDS sets the rounds per mode (6), PACE_MAX_TIMES the bound (1.2).
// Checks that 64 unauthenticated connections to an address of the world do not slow down updates. Ranks and workers run
// on one CPU and the process that connects runs on another, so its own work costs an update nothing. The test measures
// the CPU time of the ranks and workers, and the time of an update.
import { afterAll, beforeAll, describe, it } from 'vitest';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { expectPace, MODES, type PacedWorld, pinWorld, warmUp } from './support/pace.ts';
import { type TestUpdate, World, type WorldOptions } from './support/world.ts';

interface Place {
  readonly what: string;
  readonly world: WorldOptions;
  readonly update: TestUpdate;
  /** The sockets to which unknown peers connect. */
  readonly address: (world: World) => object;
}

const socketsOf =
  (names: string) =>
  ({ ranks }: World) => ({ names, pids: ranks.map(({ process: { pid } }) => pid) });
const PLACES: readonly Place[] = [
  { what: 'the store', world: {}, update: {}, address: ({ port }) => ({ port }) },
  {
    what: 'the broadcast mesh',
    world: {},
    update: { releaseCommunicators: true },
    address: socketsOf('checkpoint-engine-shm-'),
  },
  {
    what: 'the P2P sockets',
    world: { p2p: 'shm', broadcast: false },
    update: { ranks: [1] },
    address: socketsOf('checkpoint-engine-shm-'),
  },
  { what: 'the worker addresses', world: {}, update: {}, address: socketsOf('ce2-') },
];

describe.each(PLACES)('with unknown peers at $what', ({ what, world: options, update, address }) => {
  let checkpoint: TestCheckpoint;
  let world: World;
  let paced: PacedWorld;

  beforeAll(async () => {
    checkpoint = await writeCheckpoint(mixedTensors(400), { shardCount: 2 });
    world = await World.start(2, options);
    const pids = [...world.ranks, ...world.workers].map(({ process: { pid } }) => pid!);
    pinWorld(pids);
    await world.register('a', { files: checkpoint.folder });
    await world.gather('a');
    paced = {
      what,
      pids,
      address: address(world),
      update: () => world.update('a', { ...update, bucketBytes: 2 ** 20 }),
    };
    await warmUp(paced);
  }, 120_000);
  afterAll(async () => {
    await world?.end();
    await checkpoint?.remove();
  });

  it.each(MODES)('keeps its pace while they are %s', (mode) => expectPace(paced, mode));
});
