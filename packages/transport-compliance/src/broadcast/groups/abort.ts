import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, rejects, settle } from '../../suite/outcome.ts';
import type { Stage, StageMember } from '../../suite/stage.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { within } from '../../suite/within.ts';
import { anyKind, exchangeBytes, joinGroup, prepare, sendAt, targetSlice } from '../exchange.ts';

const expected = { code: 'CE_ENGINE_FAILED', message: 'The engine refused bucket 7' } as const;
const reason = new CheckpointEngineError(expected.code, expected.message, 'Look at the engine').toJSON();

/** Tests of the effect of an abort on every member. */
export function abortTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const needsTwo = maxRanks < 2 ? 'it needs two ranks' : undefined;
  return {
    name: 'abort',
    tests: [
      {
        name: 'before a broadcast: later calls reject at every member with the reason',
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 1000);
          await members[0]!.abort({ group, reason });
          for (const member of members) {
            const later = within(stage.abortMs, 'a broadcast after abort', sendAt(member, exchange));
            await rejects(later, expected, 'A broadcast after abort');
          }
          await Promise.all(members.map((member) => member.leave({ group })));
        },
      },
      {
        name: 'while members wait for a late one: they reject at once, and so does the late one',
        unavailable: needsTwo,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 100_000);
          const late = members.at(-1)!;
          const pending = members.slice(0, -1).map((member) => settle(sendAt(member, exchange)));
          await pause(100);
          await late.abort({ group, reason });
          for (const outcome of pending) {
            // A root may be done if its bytes were already sent; members that wait for bytes cannot be.
            const { error } = await within(stage.abortMs, 'a broadcast that was aborted', outcome);
            if (error !== undefined) assertError({ error }, expected, 'A broadcast that was aborted');
          }
          await rejects(sendAt(late, exchange), expected, 'A broadcast at the member that aborted');
          for (const member of members) {
            await rejects(sendAt(member, exchange), expected, 'A broadcast after abort');
          }
        },
      },
      {
        name: 'while members wait for the root: they reject at once with the reason',
        unavailable: needsTwo,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 100_000);
          const receivers = members.slice(1);
          const pending = receivers.map((member) => settle(sendAt(member, exchange)));
          await pause(100);
          await receivers.at(-1)!.abort({ group, reason });
          for (const outcome of pending) {
            assertError(await within(stage.abortMs, 'an aborted broadcast', outcome), expected, 'An aborted broadcast');
          }
        },
      },
      {
        name: 'in a stream of broadcasts: every member rejects at once with the reason',
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 4_000_000);
          const roots = members.map((member) => member.rank);
          const target = targetSlice(exchange);
          const streams = members.map((member) => settle(member.repeat({ group, roots, target, times: 1e9 })));
          await pause(200);
          await members.at(-1)!.abort({ group, reason });
          for (const outcome of streams) {
            assertError(await within(stage.abortMs, 'a stream that was aborted', outcome), expected, 'A stream');
          }
        },
      },
      {
        name: 'a second time with another reason: the first reason stays',
        async run(stage) {
          const { members, group, exchange } = await prepared(stage, 1000);
          const [first] = members;
          await first!.abort({ group, reason });
          await first!.abort({ group, reason: { ...reason, code: 'CE_TIMEOUT', message: 'Another reason' } });
          await rejects(sendAt(first!, exchange), expected, 'A broadcast after two aborts');
        },
      },
      {
        name: 'a group that was aborted closes, and the members join a new one',
        async run(stage) {
          const { members, group } = await prepared(stage, 1000);
          await members.at(-1)!.abort({ group, reason });
          await Promise.all(members.map((member) => member.leave({ group })));
          const again = await joinGroup(stage, members);
          const kind = await anyKind(members);
          await exchangeBytes(members, { group: again, root: 0, sizeBytes: 1000, kind, seed: 2 });
        },
      },
      {
        name: 'the abort of one group does not affect another group of the same members',
        async run(stage) {
          const { members, group } = await prepared(stage, 1000);
          const other = await joinGroup(stage, members);
          await members[0]!.abort({ group, reason });
          const kind = await anyKind(members);
          await exchangeBytes(members, { group: other, root: 0, sizeBytes: 1000, kind, seed: 2 });
        },
      },
    ],
  };
}

async function prepared(stage: Stage<'broadcast'>, sizeBytes: number) {
  const members: StageMember<'broadcast'>[] = await stage.members();
  const group = await joinGroup(stage, members);
  const exchange = { group, root: 0, sizeBytes, kind: await anyKind(members), seed: 1 };
  await prepare(members, exchange);
  return { members, group, exchange };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
