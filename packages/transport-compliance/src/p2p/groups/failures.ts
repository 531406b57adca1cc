import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, rejects, settle } from '../../suite/outcome.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { within } from '../../suite/within.ts';
import { endpoint, landing, openAll, readAll, readAndVerify, share } from '../share.ts';

/** Tests of reads that cannot succeed. */
export function failureTests(): TestGroup<'p2p'> {
  return {
    name: 'failures',
    tests: [
      {
        name: 'ranges are checked at the reader, before anything is sent',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 2000);
          await owner!.closeEndpoint({ endpoint }); // No process can answer a request any longer.
          const read = (remoteOffsetBytes: number, offsetBytes: number, sizeBytes: number) =>
            reader!.read({
              endpoint,
              peer: peer!,
              reads: [{ remote: shared.remote, remoteOffsetBytes, local: { buffer, offsetBytes, sizeBytes } }],
            });
          const range = { misuse: 'RangeError' } as const;
          await rejects(read(0, 64, 1001), range, 'A read of more than the remote range');
          await rejects(read(1, 64, 1000), range, 'A read that ends outside the remote range');
          await rejects(read(-1, 64, 10), range, 'A read that starts outside the remote range');
          await rejects(read(0, 2000, 1000), range, 'A read that ends outside the local memory');
          await rejects(read(0, -1, 10), range, 'A read that starts outside the local memory');
          assert.equal(await reader!.check({ buffer }), null);
        },
      },
      {
        name: 'a peer that has ended is unreachable',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 1000);
          await owner!.closeEndpoint({ endpoint });
          const read = within(stage.lossMs, 'a read from a peer that has ended', readAll(reader!, shared, buffer));
          await rejects(read, { code: 'CE_PEER_UNREACHABLE' }, 'A read from a peer that has ended');
        },
      },
      {
        name: 'a peer that closes after a read is unreachable for the next one',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 1000);
          await readAll(reader!, shared, buffer);
          await owner!.closeEndpoint({ endpoint });
          const read = within(stage.lossMs, 'a read from a peer that has ended', readAll(reader!, shared, buffer));
          await rejects(read, { code: ['CE_PEER_UNREACHABLE', 'CE_PEER_LOST'] }, 'A read from a peer that has ended');
        },
      },
      {
        name: 'a signal that has fired aborts the read',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const { remote } = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 1000);
          const local = { buffer, offsetBytes: 64, sizeBytes: 1000 };
          const reads = [{ remote, remoteOffsetBytes: 0, local }];
          const read = reader!.read({ endpoint, peer: peer!, reads, aborted: true });
          await rejects(read, { code: 'CE_ABORTED' }, 'A read whose signal has fired');
        },
      },
    ],
  };
}

/** Tests that kill owners. */
export function lossTests({ world }: SuiteOptions<'p2p'>): TestGroup<'p2p'> {
  const unavailable = world.cannotKill;
  return {
    name: 'loss',
    tests: [
      {
        name: 'an owner is killed during a read: the reader gets an error, and reads from others',
        unavailable,
        async run(stage) {
          const [victim, other, reader] = await stage.freshMembers(3);
          const addresses = await openAll([victim!, other!, reader!]);
          const shared = await share(stage, victim!, addresses[0]!, stage.bigBytes);
          const buffer = await landing(stage, reader!, stage.bigBytes);
          const local = { buffer, offsetBytes: 64, sizeBytes: stage.bigBytes };
          const reads = [{ remote: shared.remote, remoteOffsetBytes: 0, local }];
          const stream = settle(reader!.read({ endpoint, peer: addresses[0]!, reads, times: 1e9 }));
          await new Promise((resolve) => setTimeout(resolve, 200));
          await victim!.kill();
          const lost = { code: ['CE_PEER_LOST', 'CE_PEER_UNREACHABLE'] } as const;
          assertError(await within(stage.lossMs, 'reading from a killed owner', stream), lost, 'A read');
          const again = within(stage.lossMs, 'reading from a killed owner', readAll(reader!, shared, buffer));
          await rejects(again, { code: 'CE_PEER_UNREACHABLE' }, 'A read from an owner that was killed');
          await readAndVerify(stage, reader!, await share(stage, other!, addresses[1]!, 100_000));
        },
      },
      {
        name: 'a reader is killed during a read: the owner withdraws its range and serves others',
        unavailable,
        async run(stage) {
          const [owner, victim, reader] = await stage.freshMembers(3);
          const [peer] = await openAll([owner!, victim!, reader!]);
          const shared = await share(stage, owner!, peer!, stage.bigBytes);
          const buffer = await landing(stage, victim!, stage.bigBytes);
          const local = { buffer, offsetBytes: 64, sizeBytes: stage.bigBytes };
          const reads = [{ remote: shared.remote, remoteOffsetBytes: 0, local }];
          void settle(victim!.read({ endpoint, peer: peer!, reads, times: 1e9 }));
          await new Promise((resolve) => setTimeout(resolve, 200));
          await victim!.kill();
          await readAndVerify(stage, reader!, shared);
          await within(stage.lossMs, 'withdrawing a range', owner!.unregister({ as: shared.as }));
        },
      },
    ],
  };
}
