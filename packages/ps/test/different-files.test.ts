// Ranks that register a checkpoint while its files are still being written.
import { copyFile, rename } from 'node:fs/promises';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { World } from './support/world.ts';

let world: World;
let checkpoint: TestCheckpoint;
beforeEach(async () => {
  checkpoint = await writeCheckpoint(mixedTensors(24), { shardCount: 2 });
  // Names without the number of files.
  for (const [index, file] of checkpoint.files.entries()) await rename(file, shard(index));
  world = await World.start(2);
});
afterEach(async () => {
  await world.end();
  await checkpoint.remove();
});

const shard = (index: number): string => `${checkpoint.folder}/part-${index}.safetensors`;
const register = (rank: number, source: object = {}) =>
  world.ranks[rank]!.call('register', { name: 'a', source: { files: checkpoint.folder, ...source } });
const gather = async (): Promise<CheckpointEngineError[]> => {
  const outcomes = await Promise.allSettled(world.ranks.map((rank) => rank.call('gather', { name: 'a' })));
  return outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason);
};

describe('ranks that saw different files', () => {
  it.each([{}, { stream: true }])(
    'are reported if another file was registered meanwhile, and work after it is registered again: %j',
    async (source) => {
      await rename(shard(1), `${shard(1)}.part`);
      await register(0, source);
      await rename(`${shard(1)}.part`, shard(1));
      await register(1, source);
      for (const error of await gather()) {
        expect(error).toMatchObject({
          code: 'CE_PLAN_MISMATCH',
          message: expect.stringContaining('rank 0 did not see "part-1'),
        });
      }
      await world.ranks[0]!.call('unregister', { name: 'a' });
      await register(0, source);
      await world.gather('a');
      await world.update('a');
      expect(await world.digests(1)).toEqual(checkpoint.digests);
    },
  );

  it('are reported if one was replaced meanwhile by another with the same tensors', async () => {
    await register(0);
    await copyFile(shard(0), `${shard(0)}.new`);
    await rename(`${shard(0)}.new`, shard(0));
    await register(1);
    for (const error of await gather()) {
      expect(error).toMatchObject({ code: 'CE_PLAN_MISMATCH', message: expect.stringContaining('was replaced') });
    }
  });
});
