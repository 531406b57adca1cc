import { broadcastSuite, inProcess } from '@checkpoint-engine/transport-compliance';
import { afterAll, expect, test } from 'vitest';
import { type BroadcastMutation, closeLeaked, HeapBroadcast, killHeapMember } from './heap/heap-broadcast.ts';
import { HeapDevice } from './heap/heap-device.ts';
import { record } from './recording-runner.ts';

/** The tests of some groups that fail with a transport that is broken in one way. */
async function failures(mutation: BroadcastMutation | undefined, groups: readonly string[]): Promise<string[]> {
  const { failed } = await record(groups, (runner) => {
    broadcastSuite({
      runner,
      name: mutation ?? 'unbroken',
      factory: async ({ worldName }) => ({
        device: new HeapDevice(),
        transport: new HeapBroadcast(worldName, mutation),
      }),
      world: inProcess({ kill: (worldName, rank) => killHeapMember(worldName, rank, mutation) }),
      maxRanks: 3,
      bigBytes: 300_001,
      patienceMs: 1500,
      lossMs: 700,
      abortMs: 500,
    });
  });
  return [...failed.keys()];
}

interface Mutant {
  readonly mutation: BroadcastMutation;
  /** The groups that are run: those that find it, and others that must not. */
  readonly groups: readonly string[];
  /** Exactly the tests of these groups that fail. */
  readonly fails: readonly string[];
}

const sizes = ['1 bytes at offset 64', '1 bytes at offset 67', '4095 bytes at offset 61', '65537 bytes at offset 4096'];
const allSizes = [...sizes, '1048579 bytes at offset 64', '300001 bytes at offset 64'].map((name) => `sizes > ${name}`);
const placements = ['placement > in place', 'placement > out of place, or refused'];
const groupsOf = (...counts: number[]) => counts.map((count) => `roots > every rank sends in a group of ${count}`);
const bytes = ['manifest', 'sizes', 'roots', 'placement'];

const mutants: Mutant[] = [
  { mutation: 'swaps-roots', groups: bytes, fails: [...allSizes, ...groupsOf(2, 3), ...placements] },
  { mutation: 'drops-last-byte', groups: bytes, fails: [...allSizes, ...groupsOf(2, 3), ...placements] },
  {
    mutation: 'writes-past-end',
    groups: bytes,
    fails: ['sizes > 0 bytes at offset 64', ...allSizes, ...groupsOf(1, 2, 3), ...placements],
  },
  {
    mutation: 'sends-target-out-of-place',
    groups: ['roots', 'placement', 'pending'],
    fails: ['placement > out of place, or refused'],
  },
  {
    mutation: 'latest-first',
    groups: ['roots', 'pending'],
    fails: [
      'pending > they take effect in order: each root passes on the bytes of the previous root',
      'pending > they take effect in order: the last one into a target wins',
    ],
  },
  {
    mutation: 'unlimited-pending',
    groups: ['pending'],
    fails: ['pending > one more than maxPending is refused, and does not affect the others'],
  },
  {
    mutation: 'ignores-abort',
    groups: ['abort', 'loss'],
    fails: [
      'abort > before a broadcast: later calls reject at every member with the reason',
      'abort > while members wait for a late one: they reject at once, and so does the late one',
      'abort > while members wait for the root: they reject at once with the reason',
      'abort > in a stream of broadcasts: every member rejects at once with the reason',
    ],
  },
  {
    mutation: 'changes-abort-reason',
    groups: ['abort', 'loss'],
    fails: [
      'abort > before a broadcast: later calls reject at every member with the reason',
      'abort > while members wait for a late one: they reject at once, and so does the late one',
      'abort > while members wait for the root: they reject at once with the reason',
      'abort > in a stream of broadcasts: every member rejects at once with the reason',
      'abort > a second time with another reason: the first reason stays',
    ],
  },
  ...(['hangs-on-loss', 'names-wrong-rank'] as const).map((mutation) => ({
    mutation,
    groups: ['loss', 'roots'],
    fails: [
      'loss > the root is killed while the others wait for it: they reject with its rank',
      'loss > a receiver is killed in a stream of broadcasts: the others reject with its rank',
      'loss > the survivors form a group without it',
    ],
  })),
  {
    mutation: 'hangs-on-mismatch',
    groups: ['misuse', 'mismatch'],
    fails: [
      'mismatch > sizes that differ reject at the root and at the member that differs',
      'mismatch > two members that each claim to be the root reject',
      'mismatch > two members that each expect the other to be the root reject, and so do all',
    ],
  },
  {
    mutation: 'accepts-any-root',
    groups: ['misuse', 'mismatch'],
    fails: ['misuse > invalid calls are refused at their member, and do not affect the group'],
  },
  {
    mutation: 'broadcasts-after-close',
    groups: ['lifecycle'],
    fails: [
      'lifecycle > a group can be closed twice, and is closed afterwards',
      'lifecycle > closing the transport closes its groups, and it joins no more',
    ],
  },
  {
    mutation: 'join-ignores-timeout',
    groups: ['lifecycle'],
    fails: ['lifecycle > joining without the others times out', 'lifecycle > joining aborts when its signal fires'],
  },
  {
    mutation: 'leaks-files',
    groups: ['leaks', 'roots'],
    fails: [
      'leaks > 1,000 broadcasts leave no file, mapping or memory behind',
      'leaks > joining, broadcasting and leaving 20 times leaves nothing behind',
    ],
  },
];

afterAll(closeLeaked);

for (const { mutation, groups, fails } of mutants) {
  test(`a broadcast transport with the fault "${mutation}" fails exactly the tests that name it`, async () => {
    expect(await failures(mutation, groups)).toEqual(fails);
  });
}

test('a broadcast transport with the fault "mixes-groups" fails the tests of several groups', async () => {
  const found = await failures('mixes-groups', ['manifest', 'groups']);
  expect(found).toContain('groups > two groups of the same members do not mix');
  expect(found.filter((name) => name.startsWith('manifest'))).toEqual([]);
});
