import assert from 'node:assert/strict';
import { assertError, rejects, settle } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import { bytes, needsRanks, text } from '../helpers.ts';
import type { StoreSubject } from '../store-suite-options.ts';

/** Tests of values and counters. */
export function valueTests(maxRanks: number): CaseGroup<StoreSubject> {
  return {
    name: 'values',
    tests: [
      {
        name: 'a value is absent until it is set, and then the same on every member',
        async run({ stores }) {
          for (const store of stores) assert.equal(await store.get('k'), undefined);
          await stores[0]!.set('k', bytes('v'));
          for (const store of stores) assert.equal(text(await store.get('k')), 'v');
          await stores.at(-1)!.set('k', bytes('later'));
          for (const store of stores) assert.equal(text(await store.wait('k')), 'later');
        },
      },
      {
        name: 'values of 0 bytes and of 1 MiB arrive unchanged',
        async run({ stores }) {
          const large = Uint8Array.from({ length: 2 ** 20 }, (_, index) => (index * 7) >>> 3);
          await stores[0]!.set('none', new Uint8Array());
          await stores[0]!.set('large', large);
          for (const store of stores) {
            assert.equal((await store.get('none'))?.length, 0);
            assert.deepEqual(Uint8Array.from((await store.get('large')) ?? []), large);
          }
        },
      },
      {
        name: 'wait resolves when another member sets the key',
        unavailable: needsRanks(maxRanks, 2),
        async run({ stores }) {
          const waiting = stores.slice(1).map((store) => store.wait('k'));
          await stores[0]!.set('k', bytes('v'));
          for (const value of await Promise.all(waiting)) assert.equal(text(value), 'v');
        },
      },
      {
        name: 'wait times out, and the store works afterwards',
        async run({ stores }) {
          const [store] = stores;
          await rejects(
            store!.wait('k', { timeoutMs: 60 }),
            { code: 'CE_TIMEOUT' },
            'A wait for a key without a value',
          );
          const waiting = store!.wait('k');
          await store!.set('k', bytes('v'));
          assert.equal(text(await waiting), 'v');
        },
      },
      {
        name: 'a call aborts when its signal fires, or has already fired',
        async run({ stores }) {
          const [store] = stores;
          const abort = new AbortController();
          const waiting = settle(store!.wait('k', { signal: abort.signal }));
          abort.abort();
          assertError(await waiting, { code: 'CE_ABORTED' }, 'A wait whose signal fires');
          await rejects(store!.get('k', { signal: abort.signal }), { code: 'CE_ABORTED' }, 'A get with a fired signal');
        },
      },
      {
        name: 'a counter starts at 0, and every sum is returned once',
        async run({ stores }) {
          const adding = stores.flatMap((store) => Array.from({ length: 10 }, () => store.add('c', 1)));
          const sums = (await Promise.all(adding)).sort((a, b) => a - b);
          assert.deepEqual(
            sums,
            sums.map((_, index) => index + 1),
          );
          assert.equal(await stores[0]!.add('c', -sums.length), 0);
          assert.equal(await stores.at(-1)!.add('c', 0), 0);
        },
      },
    ],
  };
}
