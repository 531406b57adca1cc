import assert from 'node:assert/strict';
import type { CaseGroup } from '../../suite/register-groups.ts';
import { bytes, needsRanks, text } from '../helpers.ts';
import type { StoreSubject } from '../store-suite-options.ts';

/** Tests of scopes within a world. */
export function epochTests(maxRanks: number): CaseGroup<StoreSubject> {
  return {
    name: 'epochs',
    tests: [
      {
        name: 'the outermost scope has all ranks and no name',
        async run({ stores }) {
          const ranks = stores.map((_, rank) => rank);
          for (const [rank, store] of stores.entries()) {
            assert.equal(store.rank, rank);
            assert.equal(store.worldSize, stores.length);
            assert.equal(store.epochName, '');
            assert.deepEqual([...store.members], ranks);
            assert.equal(store.signal.aborted, false);
          }
        },
      },
      {
        name: 'epochs do not share keys, counters and gathers',
        async run({ stores }) {
          const scopes = ['one', 'two'].map((name) => stores.map((store) => store.epoch(name)));
          await stores[0]!.set('k', bytes('outermost'));
          for (const [index, scope] of scopes.entries()) {
            await scope[0]!.set('k', bytes(`${index}`));
            assert.equal(await scope[0]!.add('c', index + 1), index + 1);
          }
          for (const [rank, store] of stores.entries()) {
            assert.equal(text(await store.get('k')), 'outermost');
            for (const [index, scope] of scopes.entries()) assert.equal(text(await scope[rank]!.get('k')), `${index}`);
          }
          const gathers = scopes.map((scope, index) =>
            Promise.all(scope.map((store) => store.allGather('g', bytes(`${index}`)))),
          );
          for (const [index, values] of (await Promise.all(gathers)).entries()) {
            for (const list of values) assert.deepEqual(new Set(list.map(text)), new Set([`${index}`]));
          }
        },
      },
      {
        name: 'some ranks can create an epoch without the others, and keep their ranks',
        unavailable: needsRanks(maxRanks, 3),
        async run({ stores }) {
          const ranks = stores.map(({ rank }) => rank).slice(1);
          const scopes = stores.slice(1).map((store) => store.epoch('some', [...ranks].reverse()));
          for (const [index, scope] of scopes.entries()) {
            assert.deepEqual([...scope.members], ranks);
            assert.equal(scope.rank, ranks[index]);
            assert.equal(scope.worldSize, stores.length);
          }
          const values = await Promise.all(scopes.map((scope) => scope.allGather('g', bytes(`${scope.rank}`))));
          for (const list of values) assert.deepEqual(list.map(text), ranks.map(String));
        },
      },
      {
        name: 'an epoch within an epoch is a separate scope',
        async run({ stores }) {
          const outer = stores.map((store) => store.epoch('outer'));
          const inner = outer.map((scope) => scope.epoch('inner'));
          await outer[0]!.set('k', bytes('outer'));
          await Promise.all(inner.map((scope) => scope.barrier('b')));
          for (const scope of inner) assert.equal(await scope.get('k'), undefined);
          const direct = stores.map((store) => store.epoch('inner'));
          await inner[0]!.set('k', bytes('inner'));
          for (const scope of direct) assert.equal(await scope.get('k'), undefined);
        },
      },
    ],
  };
}
