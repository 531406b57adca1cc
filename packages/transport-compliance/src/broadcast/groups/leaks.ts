import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { noGrowth } from '../../suite/no-growth.ts';
import { anyKind, exchangeBytes, joinGroup, prepare, targetSlice } from '../exchange.ts';

/** Tests that nothing leaks. */
export function leakTests(): TestGroup<'broadcast'> {
  return {
    name: 'leaks',
    tests: [
      {
        name: '1,000 broadcasts leave no file, mapping or memory behind',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const exchange = { group, root: 0, sizeBytes: 65_536, kind: await anyKind(members), seed: 1 };
          await prepare(members, exchange);
          const target = targetSlice(exchange);
          const roots = members.map((member) => member.rank);
          const repeat = (times: number) =>
            Promise.all(members.map((member) => member.repeat({ group, roots, target, times })));
          await repeat(100);
          await noGrowth(members, () => repeat(1000));
          for (const member of members) {
            const contents = [{ ...target, pattern: { root: 0, seed: 1 } }];
            assert.equal(await member.check({ buffer: target.buffer, contents }), null);
          }
        },
      },
      {
        name: 'joining, broadcasting and leaving 20 times leaves nothing behind',
        async run(stage) {
          const members = await stage.members();
          const kind = await anyKind(members);
          const round = async () => {
            const group = await joinGroup(stage, members);
            await exchangeBytes(members, { group, root: 0, sizeBytes: 65_536, kind, seed: 1 });
            await Promise.all(members.map((member) => member.leave({ group })));
            await Promise.all(members.map((member) => member.reset()));
          };
          await round();
          await noGrowth(members, async () => {
            for (let i = 0; i < 20; i++) await round();
          });
        },
      },
    ],
  };
}
