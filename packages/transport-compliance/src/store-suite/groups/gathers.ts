import assert from 'node:assert/strict';
import { assertError, settle } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import { bytes, needsRanks, text } from '../helpers.ts';
import type { StoreSubject } from '../store-suite-options.ts';

/** Tests of barriers and all-gathers. */
export function gatherTests(maxRanks: number): CaseGroup<StoreSubject> {
  const needsTwo = needsRanks(maxRanks, 2);
  return {
    name: 'gathers',
    tests: [
      {
        name: 'a barrier blocks every member until the last one has called it, repeatedly',
        unavailable: needsTwo,
        async run({ stores }) {
          for (let round = 0; round < 3; round++) {
            const passed: number[] = [];
            const early = stores.slice(1).map((store) => store.barrier('b').then(() => passed.push(store.rank)));
            // When this value is set, the others have called, and have had time to pass by mistake.
            for (const store of stores.slice(1)) await store.get('anything');
            assert.deepEqual(passed, [], 'Members passed before the last one had called');
            await stores[0]!.barrier('b');
            await Promise.all(early);
          }
        },
      },
      {
        name: 'an all-gather returns all values in member order, regardless of the order of calls',
        async run({ stores }) {
          for (let round = 0; round < 3; round++) {
            const valueIn = (rank: number): string => `${round}:${'x'.repeat(rank * 100)}`;
            const calls = [...stores].reverse().map((store) => store.allGather('g', bytes(valueIn(store.rank))));
            for (const values of await Promise.all(calls)) {
              assert.deepEqual(
                values.map(text),
                stores.map(({ rank }) => valueIn(rank)),
              );
            }
          }
        },
      },
      {
        name: 'from and to omit values that are not needed',
        unavailable: needsTwo,
        async run({ stores }) {
          const last = stores.length - 1;
          const options = { from: [last], to: [0] };
          const values = await Promise.all(
            stores.map((store) => store.allGather('g', bytes(`${store.rank}`), options)),
          );
          assert.deepEqual(
            values.map((list) => list.map(text)),
            stores.map(({ rank }) => (rank === 0 ? [`${last}`] : [])),
          );
        },
      },
      {
        name: 'a missing member causes a time-out for the others',
        unavailable: needsTwo,
        async run({ stores }) {
          const others = stores.slice(1);
          const late = { timeoutMs: 60 };
          const expected = { code: 'CE_TIMEOUT' } as const;
          const gathers = others.map((store) => settle(store.allGather('g', bytes('v'), late)));
          const barriers = others.map((store) => settle(store.barrier('b', late)));
          for (const outcome of await Promise.all(gathers))
            assertError(outcome, expected, 'An all-gather without rank 0');
          for (const outcome of await Promise.all(barriers)) assertError(outcome, expected, 'A barrier without rank 0');
        },
      },
    ],
  };
}
