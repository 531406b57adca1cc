import { hubLink, StoreHub, storeSuite, TestStore } from '@checkpoint-engine/transport-compliance';
import { expect, test } from 'vitest';
import { BrokenStore, type StoreMutation } from './heap/broken-store.ts';
import { record } from './recording-runner.ts';

/** The tests of a group that fail with a store that is broken in one way. */
async function failures(mutation: StoreMutation, group: string): Promise<string[]> {
  const { failed } = await record([group], (runner) => {
    storeSuite({
      runner,
      name: mutation,
      canLose: true,
      patienceMs: 700,
      async open(worldSize) {
        const hub = new StoreHub();
        const storeOf = (_: unknown, rank: number) => new TestStore(hubLink(hub, rank), rank, worldSize);
        const stores = Array.from({ length: worldSize }, storeOf).map((store) => new BrokenStore(store, mutation));
        return { stores, lose: async (rank) => hub.lose(rank) };
      },
    });
  });
  return [...failed.keys()];
}

const mutants: { mutation: StoreMutation; finds: string }[] = [
  { mutation: 'drops-large-values', finds: 'values > values of 0 bytes and of 1 MiB arrive unchanged' },
  {
    mutation: 'keeps-first-value',
    finds: 'values > a value is absent until it is set, and then the same on every member',
  },
  { mutation: 'wait-ignores-timeout', finds: 'values > wait times out, and the store works afterwards' },
  { mutation: 'ignores-signal', finds: 'values > a call aborts when its signal fires, or has already fired' },
  { mutation: 'adds-locally', finds: 'values > a counter starts at 0, and every sum is returned once' },
  {
    mutation: 'barrier-passes',
    finds: 'gathers > a barrier blocks every member until the last one has called it, repeatedly',
  },
  {
    mutation: 'gathers-reversed',
    finds: 'gathers > an all-gather returns all values in member order, regardless of the order of calls',
  },
  { mutation: 'gathers-for-all', finds: 'gathers > from and to omit values that are not needed' },
  { mutation: 'epochs-share-keys', finds: 'epochs > epochs do not share keys, counters and gathers' },
  { mutation: 'members-unsorted', finds: 'epochs > the outermost scope has all ranks and no name' },
  {
    mutation: 'abort-stays-local',
    finds: 'failures > an abort rejects every pending and later call on every member with its reason',
  },
  {
    mutation: 'abort-changes-reason',
    finds: 'failures > an abort rejects every pending and later call on every member with its reason',
  },
  {
    mutation: 'abort-reaches-parent',
    finds: 'failures > an abort does not affect the outermost scope, other epochs or new ones',
  },
  {
    mutation: 'hides-lost-rank',
    finds: 'failures > a rank that is lost rejects every pending and later call of the others, in every scope',
  },
  {
    mutation: 'works-after-close',
    finds: 'lifecycle > a store can be closed twice, and refuses later calls',
  },
];

for (const { mutation, finds } of mutants) {
  test(`a store with the fault "${mutation}" fails the test for it`, async () => {
    expect(await failures(mutation, finds.split(' > ')[0]!)).toContain(finds);
  });
}
