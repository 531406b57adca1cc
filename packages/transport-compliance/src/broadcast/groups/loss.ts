import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, type Outcome, settle } from '../../suite/outcome.ts';
import type { Stage } from '../../suite/stage.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { within } from '../../suite/within.ts';
import { anyKind, exchangeBytes, joinGroup, prepare, sendAt, targetSlice } from '../exchange.ts';

/** Tests that kill a member during its work. */
export function lossTests({ maxRanks = 4, world }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const unavailable = world.cannotKill ?? (maxRanks < 2 ? 'it needs two ranks' : undefined);
  return {
    name: 'loss',
    tests: [
      {
        name: 'the root is killed while the others wait for it: they reject with its rank',
        unavailable,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 100_000);
          const [victim, ...others] = members;
          const pending = others.map((member) => settle(sendAt(member, exchange)));
          await pause(100);
          await victim!.kill();
          await allNameIt(stage, pending, 0);
          const later = others.map((member) => settle(sendAt(member, exchange)));
          await allNameIt(stage, later, 0);
          await Promise.all(others.map((member) => member.leave({ group })));
        },
      },
      {
        name: 'a receiver is killed in a stream of broadcasts: the others reject with its rank',
        unavailable,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 4_000_000);
          const victim = members.at(-1)!;
          const roots = members.map((member) => member.rank);
          const target = targetSlice(exchange);
          const streams = members.map((member) => settle(member.repeat({ group, roots, target, times: 1e9 })));
          await pause(300);
          await victim.kill();
          await allNameIt(stage, streams.slice(0, -1), victim.rank);
        },
      },
      {
        name: 'the survivors form a group without it',
        unavailable,
        async run(stage) {
          const { members, exchange } = await prepared(stage, 100_000);
          const [victim, ...others] = members;
          const pending = others.map((member) => settle(sendAt(member, exchange)));
          await victim!.kill();
          await allNameIt(stage, pending, 0);
          const group = await joinGroup(stage, others);
          const kind = await anyKind(others);
          await exchangeBytes(others, { group, root: others.at(-1)!.rank, sizeBytes: 1_000_003, kind, seed: 2 });
        },
      },
      {
        name: 'a member is killed before the others join: joining rejects',
        unavailable,
        async run(stage) {
          const members = await stage.freshMembers();
          const [victim, ...others] = members;
          const ranks = members.map((member) => member.rank);
          const group = stage.newName('group');
          const joins = others.map((member) => settle(member.join({ group, members: ranks })));
          await pause(100);
          await victim!.kill();
          await allNameIt(stage, joins, 0);
        },
      },
      {
        name: 'a new world works after one that lost a member',
        unavailable,
        async run(stage) {
          const { members } = await prepared(stage, 1000);
          await members[0]!.kill();
          const fresh = await stage.freshMembers();
          const group = await joinGroup(stage, fresh);
          await exchangeBytes(fresh, { group, root: 0, sizeBytes: 1_000_003, kind: await anyKind(fresh), seed: 1 });
        },
      },
    ],
  };
}

async function prepared(stage: Stage<'broadcast'>, sizeBytes: number) {
  const members = await stage.freshMembers();
  const group = await joinGroup(stage, members);
  const exchange = { group, root: 0, sizeBytes, kind: await anyKind(members), seed: 1 };
  await prepare(members, exchange);
  return { members, group, exchange };
}

async function allNameIt(stage: Stage<'broadcast'>, outcomes: Promise<Outcome>[], lostRank: number): Promise<void> {
  for (const outcome of outcomes) {
    const found = await within(stage.lossMs, 'a call after a member was lost', outcome);
    assertError(found, { code: 'CE_RANK_LOST', lostRank }, 'A call after a member was lost');
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
