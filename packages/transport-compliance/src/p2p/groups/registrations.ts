import assert from 'node:assert/strict';
import type { MemoryKind } from '@checkpoint-engine/interface';
import type { TestGroup } from '../../suite/define-suite.ts';
import { noGrowth } from '../../suite/no-growth.ts';
import { rejects } from '../../suite/outcome.ts';
import { endpoint, landing, openAll, readAll, readAndVerify, share, supportsOf, verifyRead } from '../share.ts';

const unregistered = { code: 'CE_RANGE_NOT_REGISTERED' } as const;

/** Tests of which ranges peers can read, and for how long. */
export function registrationTests(): TestGroup<'p2p'> {
  return {
    name: 'registrations',
    tests: [
      {
        name: 'a range has its size, and its address differs from those of other ranges',
        async run(stage) {
          const [owner] = await stage.members(1);
          const [peer] = await openAll([owner!]);
          const one = await share(stage, owner!, peer!, 1000);
          const two = await share(stage, owner!, peer!, 2000);
          assert.equal(one.remote.sizeBytes, 1000);
          assert.equal(two.remote.sizeBytes, 2000);
          assert.match(one.remote.address, /^[0-9]+$/);
          assert.notEqual(one.remote.address, two.remote.address);
        },
      },
      {
        name: 'a withdrawn range cannot be read, but others can',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const withdrawn = await share(stage, owner!, peer!, 1000);
          const kept = await share(stage, owner!, peer!, 2000);
          const buffer = await landing(stage, reader!, 1000);
          await readAll(reader!, withdrawn, buffer);
          await owner!.unregister({ as: withdrawn.as });
          await owner!.unregister({ as: withdrawn.as });
          await rejects(readAll(reader!, withdrawn, buffer), unregistered, 'A read of a withdrawn range');
          await readAndVerify(stage, reader!, kept);
        },
      },
      {
        name: 'a range that was never registered is not read',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 1000);
          // The second endpoint does not know the ranges of the first.
          const readerAddress = await reader!.open({ endpoint: 'other' });
          const foreign = { ...shared, peer: readerAddress };
          await rejects(readAll(reader!, foreign, buffer), unregistered, 'A read of the range of another endpoint');
        },
      },
      {
        name: 'a batch with a withdrawn range fails as a whole',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const kept = await share(stage, owner!, peer!, 1000);
          const withdrawn = await share(stage, owner!, peer!, 1000);
          await owner!.unregister({ as: withdrawn.as });
          const buffer = await landing(stage, reader!, 1000);
          const reads = [kept, withdrawn].map(({ remote }, i) => {
            return { remote, remoteOffsetBytes: 0, local: { buffer, offsetBytes: 64 + 500 * i, sizeBytes: 500 } };
          });
          await rejects(reader!.read({ endpoint, peer: peer!, reads }), unregistered, 'A batch with an unknown range');
          await readAndVerify(stage, reader!, kept);
        },
      },
      {
        name: 'overlapping ranges, and the same range twice, are registered independently',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const whole = await share(stage, owner!, peer!, 10_000);
          const range = { buffer: whole.buffer, offsetBytes: 64, sizeBytes: 10_000 };
          const same = await owner!.register({ endpoint, range, as: 'same' });
          const half = { ...range, sizeBytes: 5000 };
          const first = await owner!.register({ endpoint, range: half, as: 'half' });
          await owner!.unregister({ as: whole.as });
          const buffer = await landing(stage, reader!, 10_000);
          await readAll(reader!, { ...whole, remote: same }, buffer);
          await verifyRead(reader!, whole, buffer);
          await owner!.unregister({ as: 'same' });
          const into = await landing(stage, reader!, 5000);
          const local = { buffer: into, offsetBytes: 64, sizeBytes: 5000 };
          await reader!.read({ endpoint, peer: peer!, reads: [{ remote: first, remoteOffsetBytes: 0, local }] });
          const contents = [{ ...local, pattern: whole.pattern }];
          assert.equal(await reader!.check({ buffer: into, contents }), null);
          await rejects(readAll(reader!, whole, buffer), unregistered, 'A read of the withdrawn range');
        },
      },
      {
        name: 'memory of a kind that is not supported, or outside of its memory, is not registered',
        async run(stage) {
          const [owner] = await stage.members(1);
          await openAll([owner!]);
          const { registers } = await supportsOf(owner!);
          const known = await landing(stage, owner!, 1000, registers[0]);
          const outside = { buffer: known, offsetBytes: 64, sizeBytes: 5000 };
          const wrong = owner!.register({ endpoint, range: outside, as: 'outside' });
          await rejects(wrong, { misuse: 'RangeError' }, 'A range that ends outside its memory');
          for (const kind of (['host', 'device'] as MemoryKind[]).filter((one) => !registers.includes(one))) {
            const buffer = stage.newName('unsupported');
            if ((await owner!.allocate({ buffer, kind, sizeBytes: 1000 })) !== kind) continue;
            const range = { buffer, offsetBytes: 0, sizeBytes: 1000 };
            const refused = owner!.register({ endpoint, range, as: buffer });
            await rejects(refused, { code: 'CE_NOT_SUPPORTED' }, `A registration of ${kind} memory`);
          }
        },
      },
      {
        name: 'registering and withdrawing 10,000 times leaves nothing behind',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, 100_000);
          const range = { buffer: shared.buffer, offsetBytes: 64, sizeBytes: 100_000 };
          await owner!.churn({ endpoint, range, times: 100 });
          await noGrowth([owner!, reader!], () => owner!.churn({ endpoint, range, times: 10_000 }));
          await readAndVerify(stage, reader!, shared);
        },
      },
      {
        name: '500 reads leave nothing behind',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const { remote } = await share(stage, owner!, peer!, 100_000);
          const buffer = await landing(stage, reader!, 100_000);
          const local = { buffer, offsetBytes: 64, sizeBytes: 100_000 };
          const reads = [{ remote, remoteOffsetBytes: 0, local }];
          const repeat = (times: number) => reader!.read({ endpoint, peer: peer!, reads, times });
          await repeat(50);
          await noGrowth([owner!, reader!], () => repeat(500));
        },
      },
    ],
  };
}
