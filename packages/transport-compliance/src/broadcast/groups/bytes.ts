import type { TestCase, TestGroup } from '../../suite/define-suite.ts';
import { rejects } from '../../suite/outcome.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { anyKind, exchangeBytes, joinGroup, prepare, sendAt, supportsOf } from '../exchange.ts';

const MiB = 1024 * 1024;

/** Tests of sizes and alignments, for every supported kind of memory. */
export function sizeTests({ bigBytes = 32 * MiB + 5, largeMemory }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const exactly = (sizeBytes: number, offsetBytes: number): TestCase<'broadcast'> => ({
    name: `${sizeBytes} bytes at offset ${offsetBytes}`,
    async run(stage) {
      const members = await stage.members();
      const group = await joinGroup(stage, members);
      for (const [seed, kind] of (await supportsOf(members)).memory.entries()) {
        await exchangeBytes(members, { group, root: 0, sizeBytes, offsetBytes, kind, seed });
      }
    },
  });
  return {
    name: 'sizes',
    tests: [
      exactly(0, 64),
      exactly(1, 64),
      exactly(1, 67),
      exactly(4095, 61),
      exactly(65_537, 4096),
      exactly(MiB + 3, 64),
      exactly(bigBytes, 64),
      { ...farRange, unavailable: largeMemory ? undefined : 'it needs 4 GiB of memory per member: pass largeMemory' },
    ],
  };
}

const farRange: TestCase<'broadcast'> = {
  name: 'a range beyond 4 GiB',
  async run(stage) {
    const members = await stage.members(Math.min(2, stage.maxRanks));
    const group = await joinGroup(stage, members);
    const offsetBytes = 4096 * MiB + 7;
    const target = { buffer: 'far', offsetBytes, sizeBytes: MiB };
    const window = { fromBytes: offsetBytes - 4096, toBytes: offsetBytes + MiB + 4096 };
    const contents = [{ ...target, pattern: { root: 0, seed: 0 } }];
    const kind = await anyKind(members);
    await Promise.all(
      members.map(async (member) => {
        await member.allocate({ buffer: 'far', kind, sizeBytes: offsetBytes + 2 * MiB });
        await member.fill({ buffer: 'far', contents: member.rank === 0 ? contents : [], ...window });
      }),
    );
    await Promise.all(members.map((member) => member.broadcast({ group, root: 0, target })));
    for (const member of members) {
      const wrong = await member.check({ buffer: 'far', contents, ...window });
      if (wrong !== null) throw new Error(`Rank ${member.rank}: ${wrong}`);
    }
  },
};

/** Tests with every rank as the root, in groups of every size. */
export function rootTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const ofSize = (count: number): TestCase<'broadcast'> => ({
    name: `every rank sends in a group of ${count}`,
    async run(stage) {
      const members = await stage.members(count);
      const group = await joinGroup(stage, members);
      const kind = await anyKind(members);
      for (const { rank } of members) {
        await exchangeBytes(members, { group, root: rank, sizeBytes: 12_345, kind, seed: rank });
      }
    },
  });
  return { name: 'roots', tests: Array.from({ length: maxRanks }, (_, i) => ofSize(i + 1)) };
}

/** Tests in place and out of place, in all pairs of kinds of memory. */
export function placementTests(): TestGroup<'broadcast'> {
  return {
    name: 'placement',
    tests: [
      {
        name: 'in place',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          for (const [seed, kind] of (await supportsOf(members)).memory.entries()) {
            await exchangeBytes(members, { group, root: members.length - 1, sizeBytes: 100_001, kind, seed });
          }
        },
      },
      {
        name: 'out of place, or refused',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const { memory, outOfPlace } = await supportsOf(members);
          for (const [seed, kind] of memory.entries()) {
            const exchange = { group, root: 0, sizeBytes: 100_001, kind, seed, outOfPlace: true };
            if (outOfPlace) {
              await exchangeBytes(members, exchange);
              continue;
            }
            await prepare(members, exchange);
            const refused = sendAt(members[0]!, exchange);
            await rejects(refused, { code: 'CE_NOT_SUPPORTED' }, 'A broadcast out of place');
          }
        },
      },
    ],
  };
}
