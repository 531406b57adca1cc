import { rejects } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import { bytes } from '../helpers.ts';
import type { StoreSubject } from '../store-suite-options.ts';

/** Tests of closing. */
export function lifecycleTests(): CaseGroup<StoreSubject> {
  return {
    name: 'lifecycle',
    tests: [
      {
        name: 'an epoch can be closed twice, refuses later calls, and leaves its parent open',
        async run({ stores }) {
          const scopes = stores.map((store) => store.epoch('update'));
          await Promise.all(scopes.map((scope) => scope.barrier('b')));
          await Promise.all(scopes.map((scope) => scope.close()));
          await Promise.all(scopes.map((scope) => scope.close()));
          for (const scope of scopes) await rejects(scope.get('k'), { code: 'CE_CLOSED' }, 'A get in a closed epoch');
          await Promise.all(stores.map((store) => store.barrier('b')));
        },
      },
      {
        name: 'a store can be closed twice, and refuses later calls',
        async run({ stores }) {
          await Promise.all(stores.map((store) => store.barrier('b')));
          await Promise.all(stores.map((store) => store.close()));
          await Promise.all(stores.map((store) => store.close()));
          for (const store of stores) {
            await rejects(store.set('k', bytes('v')), { code: 'CE_CLOSED' }, 'A set in a closed store');
          }
        },
      },
    ],
  };
}
