import { inProcess, p2pSuite } from '@checkpoint-engine/transport-compliance';
import { afterAll, expect, test } from 'vitest';
import { HeapDevice } from './heap/heap-device.ts';
import { dropLeaked, HeapP2P, killHeapPeer, type P2PMutation } from './heap/heap-p2p.ts';
import { record } from './recording-runner.ts';

/** The tests of some groups that fail with a transport that is broken in one way. */
async function failures(mutation: P2PMutation, groups: readonly string[]): Promise<string[]> {
  const { failed } = await record(groups, (runner) => {
    p2pSuite({
      runner,
      name: mutation,
      factory: async ({ worldName, rank }) => ({
        device: new HeapDevice(),
        transport: new HeapP2P(worldName, rank, mutation),
      }),
      world: inProcess({ kill: killHeapPeer }),
      maxRanks: 3,
      bigBytes: 300_001,
      patienceMs: 2500,
      lossMs: 700,
    });
  });
  return [...failed.keys()];
}

const sizes = [1, 4097, 1_048_579, 300_001].map((size) => `reads > ${size} bytes, between all kinds of memory`);
const parts = [
  'reads > parts of a range, at odd offsets, in one batch',
  'reads > 1,000 ranges of several registrations in one batch',
];
const many = 'reads > many at a time: every member reads from every other';

const mutants: { mutation: P2PMutation; groups: readonly string[]; fails: readonly string[] }[] = [
  { mutation: 'ignores-offset', groups: ['manifest', 'reads'], fails: parts },
  { mutation: 'drops-last-byte', groups: ['manifest', 'reads'], fails: [...sizes, ...parts, many] },
  {
    mutation: 'writes-past-end',
    groups: ['manifest', 'reads'],
    fails: [...sizes, ...parts, 'reads > an empty batch, and a read of 0 bytes', many],
  },
  {
    mutation: 'blocks-owner',
    groups: ['reads'],
    fails: ["reads > reads do not block the owner's event loop"],
  },
  {
    mutation: 'changes-address',
    groups: ['lifecycle'],
    fails: ['lifecycle > an endpoint has its own address, and keeps it'],
  },
  {
    mutation: 'reads-after-unregister',
    groups: ['registrations'],
    fails: [
      'registrations > a withdrawn range cannot be read, but others can',
      'registrations > a batch with a withdrawn range fails as a whole',
      'registrations > overlapping ranges, and the same range twice, are registered independently',
    ],
  },
  {
    mutation: 'unregisters-overlaps',
    groups: ['registrations'],
    fails: [
      'registrations > overlapping ranges, and the same range twice, are registered independently',
      'registrations > registering and withdrawing 10,000 times leaves nothing behind',
    ],
  },
  {
    mutation: 'leaks-memory',
    groups: ['lifecycle', 'registrations'],
    fails: ['registrations > registering and withdrawing 10,000 times leaves nothing behind'],
  },
  {
    mutation: 'checks-no-ranges',
    groups: ['failures'],
    fails: ['failures > ranges are checked at the reader, before anything is sent'],
  },
  {
    mutation: 'ignores-signal',
    groups: ['failures'],
    fails: ['failures > a signal that has fired aborts the read'],
  },
  {
    mutation: 'hangs-when-unreachable',
    groups: ['failures', 'manifest'],
    fails: [
      'failures > a peer that has ended is unreachable',
      'failures > a peer that closes after a read is unreachable for the next one',
    ],
  },
  {
    mutation: 'hangs-on-loss',
    groups: ['failures', 'loss'],
    fails: ['loss > an owner is killed during a read: the reader gets an error, and reads from others'],
  },
  {
    mutation: 'registers-after-close',
    groups: ['lifecycle'],
    fails: [
      'lifecycle > an endpoint can be closed twice, and is closed afterwards',
      'lifecycle > closing the transport closes its endpoints, and it opens no more',
    ],
  },
];

afterAll(dropLeaked);

for (const { mutation, groups, fails } of mutants) {
  test(`a P2P transport with the fault "${mutation}" fails exactly the tests that name it`, async () => {
    expect(await failures(mutation, groups)).toEqual(fails);
  });
}
