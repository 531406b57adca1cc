import type { TestGroup } from '../../suite/define-suite.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { anyKind, exchangeBytes, joinGroup } from '../exchange.ts';

/** Several groups on one transport. */
export function groupTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const needsTwo = maxRanks < 2 ? 'it needs two ranks' : undefined;
  return {
    name: 'groups',
    tests: [
      {
        name: 'disjoint groups broadcast at the same time, and the group of all their members works meanwhile',
        unavailable: needsTwo,
        async run(stage) {
          const members = await stage.members();
          const whole = await joinGroup(stage, members);
          const half = Math.ceil(members.length / 2);
          const parts = [members.slice(0, half), members.slice(half)];
          const names = await Promise.all(parts.map((part) => joinGroup(stage, part)));
          const kind = await anyKind(members);
          await Promise.all(
            parts.map(async (part, p) => {
              for (const { rank } of part) {
                await exchangeBytes(part, { group: names[p]!, root: rank, sizeBytes: 500_003, kind, seed: rank });
              }
            }),
          );
          await exchangeBytes(members, { group: whole, root: 0, sizeBytes: 1001, kind, seed: 1 });
          await Promise.all(parts.flatMap((part, p) => part.map((member) => member.leave({ group: names[p]! }))));
          await exchangeBytes(members, { group: whole, root: 1, sizeBytes: 1001, kind, seed: 2 });
        },
      },
      {
        name: 'a group works without the lowest rank, and its members keep their ranks in the world',
        unavailable: needsTwo,
        async run(stage) {
          const members = (await stage.members()).slice(1);
          const group = await joinGroup(stage, members);
          const kind = await anyKind(members);
          await exchangeBytes(members, { group, root: members.length, sizeBytes: 777, kind, seed: 1 });
        },
      },
      {
        name: 'two groups of the same members do not mix',
        async run(stage) {
          const members = await stage.members();
          const groups = [await joinGroup(stage, members), await joinGroup(stage, members)];
          const kind = await anyKind(members);
          await Promise.all(
            groups.map(async (group, g) => {
              for (let seed = 0; seed < 8; seed++) {
                const root = (g + seed) % members.length;
                await exchangeBytes(members, { group, root, sizeBytes: 100_000 + g, kind, seed: 2 * seed + g });
              }
            }),
          );
        },
      },
    ],
  };
}
