import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { rejects } from '../../suite/outcome.ts';
import type { Stage, StageMember } from '../../suite/stage.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { anyKind, exchangeBytes, joinGroup, supportsOf } from '../exchange.ts';

type Members = StageMember<'broadcast'>[];

/** Several groups on one transport. */
export function groupTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const needsTwo = maxRanks < 2 ? 'it takes two ranks' : undefined;
  return {
    name: 'groups',
    tests: [
      {
        name: 'disjoint parts of a split group broadcast at the same time, or split is refused',
        unavailable: needsTwo,
        async run(stage) {
          const members = await stage.members();
          const whole = await joinGroup(stage, members);
          if (!(await supportsOf(members)).split) {
            const refused = members[0]!.split({ group: whole, members: [0], as: stage.newName('part') });
            return await rejects(refused, { code: 'CE_NOT_SUPPORTED' }, 'A split');
          }
          const half = Math.ceil(members.length / 2);
          const parts = [members.slice(0, half), members.slice(half)];
          const names = await Promise.all(parts.map((part) => split(stage, whole, part)));
          const kind = await anyKind(members);
          await Promise.all(
            parts.map(async (part, p) => {
              for (const { rank } of part) {
                await exchangeBytes(part, { group: names[p]!, root: rank, sizeBytes: 500_003, kind, seed: rank });
              }
            }),
          );
          // The whole group still works beside its parts, and after them.
          await exchangeBytes(members, { group: whole, root: 0, sizeBytes: 1001, kind, seed: 1 });
          await Promise.all(parts.flatMap((part, p) => part.map((member) => member.leave({ group: names[p]! }))));
          await exchangeBytes(members, { group: whole, root: 1, sizeBytes: 1001, kind, seed: 2 });
        },
      },
      {
        name: 'a part need not hold the lowest rank, and ranks stay those of the world',
        unavailable: needsTwo,
        async run(stage) {
          const members = await stage.members();
          const whole = await joinGroup(stage, members);
          if (!(await supportsOf(members)).split) return; // refused above
          const part = members.slice(1);
          const group = await split(stage, whole, part);
          const kind = await anyKind(members);
          await exchangeBytes(part, { group, root: members.length - 1, sizeBytes: 777, kind, seed: 1 });
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

async function split(stage: Stage<'broadcast'>, group: string, part: Members): Promise<string> {
  const as = stage.newName('part');
  const ranks = part.map((member) => member.rank);
  const seen = await Promise.all(part.map((member) => member.split({ group, members: ranks, as })));
  for (const list of seen) assert.deepEqual(list, ranks);
  return as;
}
