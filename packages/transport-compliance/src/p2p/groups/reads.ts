import assert from 'node:assert/strict';
import type { TestCase, TestGroup } from '../../suite/define-suite.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { endpoint, landing, openAll, readAll, readAndVerify, share, supportsOf, verifyRead } from '../share.ts';

const MiB = 1024 * 1024;

/** Tests that a read returns the owner's bytes and changes nothing else. */
export function readTests({ bigBytes = 32 * MiB + 5 }: SuiteOptions<'p2p'>): TestGroup<'p2p'> {
  const ofSize = (sizeBytes: number): TestCase<'p2p'> => ({
    name: `${sizeBytes} bytes, between all kinds of memory`,
    async run(stage) {
      const [owner, reader] = await stage.members(2);
      const [peer] = await openAll([owner!, reader!]);
      const { registers, readsInto } = await supportsOf(owner!);
      for (const from of registers) {
        const shared = await share(stage, owner!, peer!, sizeBytes, from);
        for (const into of readsInto) {
          const buffer = await landing(stage, reader!, sizeBytes, into);
          await readAll(reader!, shared, buffer);
          await verifyRead(reader!, shared, buffer);
        }
      }
    },
  });
  return {
    name: 'reads',
    tests: [
      ...[1, 4097, MiB + 3, bigBytes].map(ofSize),
      {
        name: 'parts of a range, at odd offsets, in one batch',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const { remote, pattern } = await share(stage, owner!, peer!, 10_000);
          const buffer = await landing(stage, reader!, 10_000);
          const parts = [
            { position: 5001, offsetBytes: 67, sizeBytes: 4001 },
            { position: 3, offsetBytes: 64 + 4999, sizeBytes: 4998 },
          ];
          const reads = parts.map(({ position, ...range }) => {
            return { remote, remoteOffsetBytes: position, local: { buffer, ...range } };
          });
          await reader!.read({ endpoint, peer: peer!, reads });
          const contents = parts.map((part) => ({ ...part, pattern }));
          assert.equal(await reader!.check({ buffer, contents }), null);
        },
      },
      {
        name: '1,000 ranges of several registrations in one batch',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = [];
          for (let i = 0; i < 4; i++) shared.push(await share(stage, owner!, peer!, 100_000 + i));
          const landings = await Promise.all(shared.map((one) => landing(stage, reader!, one.sizeBytes)));
          const pieceBytes = 400;
          const reads = shared.flatMap(({ remote, sizeBytes }, i) =>
            Array.from({ length: Math.ceil(sizeBytes / pieceBytes) }, (_, piece) => {
              const start = piece * pieceBytes;
              const size = Math.min(pieceBytes, sizeBytes - start);
              const local = { buffer: landings[i]!, offsetBytes: 64 + start, sizeBytes: size };
              return { remote, remoteOffsetBytes: start, local };
            }),
          );
          assert.ok(reads.length >= 1000);
          await reader!.read({ endpoint, peer: peer!, reads: [...reads].reverse() });
          for (const [i, one] of shared.entries()) await verifyRead(reader!, one, landings[i]!);
        },
      },
      {
        name: 'an empty batch, and a read of 0 bytes',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const { remote } = await share(stage, owner!, peer!, 100);
          const buffer = await landing(stage, reader!, 100);
          await reader!.read({ endpoint, peer: peer!, reads: [] });
          const local = { buffer, offsetBytes: 64, sizeBytes: 0 };
          await reader!.read({ endpoint, peer: peer!, reads: [{ remote, remoteOffsetBytes: 100, local }] });
          assert.equal(await reader!.check({ buffer }), null);
        },
      },
      {
        name: 'many at a time: every member reads from every other',
        async run(stage) {
          const members = await stage.members();
          const addresses = await openAll(members);
          const shared = await Promise.all(members.map((owner, i) => share(stage, owner, addresses[i]!, 1_000_003)));
          const pairs = members.flatMap((reader) => shared.map((one) => ({ reader, one })));
          const others = pairs.filter(({ reader, one }) => reader !== one.owner);
          await Promise.all([...others, ...others].map(({ reader, one }) => readAndVerify(stage, reader, one)));
        },
      },
      {
        name: "reads do not block the owner's event loop",
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const shared = await share(stage, owner!, peer!, stage.bigBytes);
          const buffer = await landing(stage, reader!, stage.bigBytes);
          const local = { buffer, offsetBytes: 64, sizeBytes: stage.bigBytes };
          const reads = [{ remote: shared.remote, remoteOffsetBytes: 0, local }];
          await owner!.watchLoop();
          await reader!.read({ endpoint, peer: peer!, reads, times: 10 });
          const longestMs = await owner!.longestLoopMs();
          assert.ok(longestMs < 1000, `The owner's event loop was blocked for ${longestMs} ms`);
        },
      },
    ],
  };
}
