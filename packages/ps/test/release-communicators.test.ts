// Updates that keep and that release communicators, over real processes.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { type TestUpdate, World } from './support/world.ts';

const KIB = 2 ** 10;
let world: World;
let checkpoint: TestCheckpoint;

beforeEach(async () => {
  checkpoint = await writeCheckpoint(mixedTensors(300), { shardCount: 3 });
  world = await World.start(3);
  await world.register('a', { files: checkpoint.folder });
  await world.gather('a');
});
afterEach(async () => {
  await world.end();
  await checkpoint.remove();
});

describe('an update', () => {
  it.each([{ releaseCommunicators: false }, { releaseCommunicators: true }])(
    'with %o delivers every byte, repeatedly',
    async (options) => {
      for (let round = 0; round < 3; round++) {
        const [result] = await world.update('a', { bucketBytes: 64 * KIB, ...options } as TestUpdate);
        expect(result!.bucketCount).toBeGreaterThan(30);
      }
      for (const index of [0, 1, 2]) expect(await world.digests(index)).toEqual(checkpoint.digests);
    },
  );

  it('is refused before any data moves if ranks have different options', async () => {
    const outcomes = await Promise.allSettled(
      world.ranks.map((rank, index) =>
        rank.call('update', { name: 'a', options: { inferenceParallelSize: 1, releaseCommunicators: index === 1 } }),
      ),
    );
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'CE_PLAN_MISMATCH' } });
    }
    await world.update('a');
    for (const index of [0, 1, 2]) expect(await world.digests(index)).toEqual(checkpoint.digests);
  });
});
