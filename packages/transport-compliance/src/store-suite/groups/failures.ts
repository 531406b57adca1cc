import assert from 'node:assert/strict';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { assertError, rejects, settle } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import { bytes, failureOf, needsRanks } from '../helpers.ts';
import type { StoreSubject } from '../store-suite-options.ts';

const reasonOf = (what: string): CheckpointEngineError =>
  new CheckpointEngineError('CE_FILE_TRUNCATED', what, 'Write the file again');

/** Tests of aborts and of lost ranks. */
export function failureTests(maxRanks: number, canLose: boolean): CaseGroup<StoreSubject> {
  const cannotLose = canLose ? needsRanks(maxRanks, 2) : 'the world cannot lose a rank';
  return {
    name: 'failures',
    tests: [
      {
        name: 'an abort rejects every pending and later call on every member with its reason',
        async run({ stores }) {
          const scopes = stores.map((store) => store.epoch('update'));
          const pending = scopes.map((scope) => settle(scope.wait('never')));
          const failed = Promise.all(scopes.map(failureOf));
          for (const scope of scopes) await scope.get('anything'); // The waits have started.
          await scopes.at(-1)!.abort(reasonOf('The file ends early'));
          const expected = { code: 'CE_FILE_TRUNCATED', message: 'The file ends early' } as const;
          for (const outcome of await Promise.all(pending))
            assertError(outcome, expected, 'A wait in an aborted epoch');
          for (const error of await failed) assertError({ error }, expected, "The reason of an aborted epoch's signal");
          for (const scope of scopes) await rejects(scope.set('k', bytes('v')), expected, 'A set in an aborted epoch');
          for (const scope of scopes) await rejects(scope.barrier('b'), expected, 'A barrier in an aborted epoch');
        },
      },
      {
        name: 'the first reason wins',
        async run({ stores }) {
          const scopes = stores.map((store) => store.epoch('update'));
          const failed = Promise.all(scopes.map(failureOf));
          await scopes[0]!.abort(reasonOf('first'));
          await failed;
          await scopes.at(-1)!.abort(reasonOf('second'));
          for (const scope of scopes) {
            await rejects(scope.get('k'), { code: 'CE_FILE_TRUNCATED', message: 'first' }, 'A get in an aborted epoch');
          }
        },
      },
      {
        name: 'an abort does not affect the outermost scope, other epochs or new ones',
        async run({ stores }) {
          const [failing, other] = ['failing', 'other'].map((name) => stores.map((store) => store.epoch(name)));
          const failed = Promise.all(failing!.map(failureOf));
          await failing![0]!.abort(reasonOf('The file ends early'));
          await failed;
          await Promise.all(other!.map((scope) => scope.barrier('b')));
          await Promise.all(stores.map((store) => store.barrier('b')));
          await Promise.all(stores.map((store) => store.epoch('next').barrier('b')));
          for (const store of stores) assert.equal(store.signal.aborted, false);
        },
      },
      {
        name: 'a rank that is lost rejects every pending and later call of the others, in every scope',
        unavailable: cannotLose,
        async run({ stores, lose }) {
          const lostRank = stores.length - 1;
          const others = stores.slice(0, -1);
          const scopes = others.map((store) => store.epoch('update', [...others.map(({ rank }) => rank), lostRank]));
          stores[lostRank]!.epoch('update');
          const pending = [...others, ...scopes].map((store) => settle(store.wait('never')));
          const failed = Promise.all([...others, ...scopes].map(failureOf));
          for (const scope of scopes) await scope.get('anything');
          await lose(lostRank);
          const expected = { code: 'CE_RANK_LOST', lostRank } as const;
          for (const outcome of await Promise.all(pending)) assertError(outcome, expected, 'A wait in a broken world');
          for (const error of await failed) assertError({ error }, expected, 'The reason of a signal');
          for (const scope of scopes) await rejects(scope.barrier('b'), expected, 'A barrier in a broken world');
        },
      },
    ],
  };
}
