// Checks that verification raises no false alarm in many updates. VERIFY_UPDATES sets their number (1,000: 1 minute).
import process from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { expected, modelTensors, PullWorld, tensorParallel } from './support/pull-world.ts';

const UPDATES = Number(process.env.VERIFY_UPDATES ?? 1000);
const worlds: PullWorld[] = [];
afterAll(() => Promise.all(worlds.map((world) => world.close())));

describe('verified updates', () => {
  it(`never raise a false alarm in ${UPDATES} updates`, { timeout: 1_800_000 }, async () => {
    const size = 2;
    const world = await PullWorld.start(size, {
      sharePools: true,
      keepOf: (rank) => ({ keep: tensorParallel(rank, size) }),
    });
    worlds.push(world);
    const checkpoints = [1, 2].map((seed) => modelTensors(seed, 4));
    for (const [index, tensors] of checkpoints.entries()) await world.registerTensors(`step-${index}`, tensors);
    let comparedBytes = 0;
    for (let update = 0; update < UPDATES; update++) {
      const index = update % 2;
      const results = await world.update(`step-${index}`, {
        verify: update % 4 < 2 ? 'sample' : 'full',
        method: update % 8 < 4 ? 'pull' : 'buckets',
        bucketBytes: 8192,
      });
      for (const { verified } of results) comparedBytes += verified.arrivedBytes + verified.heldBytes;
      if (update % 50 !== 49) continue;
      for (let rank = 0; rank < size; rank++) {
        expect(await world.digests(rank)).toEqual(expected(checkpoints[index]!, tensorParallel(rank, size)));
      }
    }
    expect(comparedBytes).toBeGreaterThan(UPDATES * 10_000);
  });
});
