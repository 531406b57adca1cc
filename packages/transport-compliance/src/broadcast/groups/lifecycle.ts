import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { rejects } from '../../suite/outcome.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { anyKind, exchangeBytes, joinGroup } from '../exchange.ts';

/** Tests of joining and closing. */
export function lifecycleTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const needsTwo = maxRanks < 2 ? 'it needs two ranks' : undefined;
  return {
    name: 'lifecycle',
    tests: [
      {
        name: 'every member joins and sees the members ascending',
        async run(stage) {
          const members = await stage.members();
          const group = stage.newName('group');
          const ranks = members.map((member) => member.rank);
          const shuffled = [...ranks].reverse();
          const seen = await Promise.all(members.map((member) => member.join({ group, members: shuffled })));
          for (const list of seen) assert.deepEqual(list, ranks);
        },
      },
      {
        name: 'a group can be closed twice, and is closed afterwards',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const exchange = { group, root: 0, sizeBytes: 100, kind: await anyKind(members), seed: 1 };
          await exchangeBytes(members, exchange);
          await Promise.all(members.map((member) => member.leave({ group })));
          await Promise.all(members.map((member) => member.leave({ group })));
          const target = { buffer: `${group}/1/target`, offsetBytes: 0, sizeBytes: 1 };
          for (const member of members) {
            const late = member.broadcast({ group, root: 0, target });
            await rejects(late, { code: 'CE_CLOSED' }, 'A broadcast on a closed group');
          }
        },
      },
      {
        name: 'the same members join again after they left',
        async run(stage) {
          const members = await stage.members();
          for (let round = 0; round < 3; round++) {
            const group = await joinGroup(stage, members);
            const kind = await anyKind(members);
            await exchangeBytes(members, { group, root: 0, sizeBytes: 1000, kind, seed: round });
            await Promise.all(members.map((member) => member.leave({ group })));
          }
        },
      },
      {
        name: 'joining without the others times out',
        unavailable: needsTwo,
        async run(stage) {
          const [first] = await stage.members();
          const alone = first!.join({ group: stage.newName('group'), members: [0, 1], timeoutMs: 300 });
          await rejects(alone, { code: 'CE_TIMEOUT' }, 'A join without answers');
        },
      },
      {
        name: 'joining aborts when its signal fires',
        unavailable: needsTwo,
        async run(stage) {
          const [first] = await stage.members();
          const alone = first!.join({ group: stage.newName('group'), members: [0, 1], abortAfterMs: 100 });
          await rejects(alone, { code: 'CE_ABORTED' }, 'A join whose signal fires');
        },
      },
      {
        name: 'closing the transport closes its groups, and it joins no more',
        async run(stage) {
          const members = await stage.freshMembers(Math.min(2, stage.maxRanks));
          const group = await joinGroup(stage, members);
          await exchangeBytes(members, { group, root: 0, sizeBytes: 100, kind: await anyKind(members), seed: 1 });
          await Promise.all(members.map((member) => member.closeTransport()));
          await Promise.all(members.map((member) => member.closeTransport()));
          for (const member of members) {
            const target = { buffer: `${group}/1/target`, offsetBytes: 0, sizeBytes: 1 };
            const late = member.broadcast({ group, root: 0, target });
            await rejects(late, { code: 'CE_CLOSED' }, 'A broadcast on a closed transport');
            const again = member.join({ group: stage.newName('group'), members: [member.rank] });
            await rejects(again, { code: 'CE_CLOSED' }, 'A join on a closed transport');
          }
        },
      },
    ],
  };
}
