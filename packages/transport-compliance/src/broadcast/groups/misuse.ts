import assert from 'node:assert/strict';
import type { MemoryKind } from '@checkpoint-engine/interface';
import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, type Outcome, rejects, settle } from '../../suite/outcome.ts';
import type { Stage } from '../../suite/stage.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { within } from '../../suite/within.ts';
import { anyKind, exchangeBytes, joinGroup, prepare, sendAt, supportsOf, targetSlice } from '../exchange.ts';

/** Tests of invalid calls at one member: the transport must refuse them before they affect other members. */
export function misuseTests(): TestGroup<'broadcast'> {
  return {
    name: 'misuse',
    tests: [
      {
        name: 'invalid calls are refused at their member, and do not affect the group',
        async run(stage) {
          const { members, group, exchange } = await prepared(stage);
          const target = targetSlice(exchange);
          const outside = members.length + 3;
          for (const member of members) {
            const at = (root: number, slice: typeof target, source?: typeof target) =>
              member.broadcast({ group, root, target: slice, source });
            const range = { misuse: 'RangeError' } as const;
            await rejects(at(outside, target), range, 'A root that is not a member');
            await rejects(at(0, { ...target, sizeBytes: 10_000 }), range, 'A target that ends outside its memory');
            await rejects(at(0, { ...target, offsetBytes: -1 }), range, 'A target that starts outside its memory');
            const shorter = { ...target, sizeBytes: target.sizeBytes - 1 };
            await rejects(at(member.rank, target, shorter), range, 'A source of another size than the target');
          }
          await Promise.all(members.map((member) => sendAt(member, exchange)));
          await exchangeBytes(members, { ...exchange, seed: 2 });
        },
      },
      {
        name: 'memory of a kind that is not supported is refused',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const { memory } = await supportsOf(members);
          const missing = (['host', 'device'] as MemoryKind[]).filter((kind) => !memory.includes(kind));
          for (const kind of missing) {
            const buffer = stage.newName('unsupported');
            if ((await members[0]!.allocate({ buffer, kind, sizeBytes: 100 })) !== kind) continue;
            const target = { buffer, offsetBytes: 0, sizeBytes: 100 };
            const refused = members[0]!.broadcast({ group, root: 0, target });
            await rejects(refused, { code: 'CE_NOT_SUPPORTED' }, `A broadcast of ${kind} memory`);
          }
        },
      },
    ],
  };
}

/** Tests of members whose calls differ: an error where it is detected, and never a hang. */
export function mismatchTests({ maxRanks = 4 }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const unavailable = maxRanks < 2 ? 'it needs two ranks' : undefined;
  return {
    name: 'mismatch',
    tests: [
      {
        name: 'sizes that differ reject at the root and at the member that differs',
        unavailable,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage);
          const target = targetSlice(exchange);
          const odd = { ...target, sizeBytes: target.sizeBytes - 1 };
          const last = members.length - 1;
          const calls = members.map((member, i) =>
            settle(member.broadcast({ group, root: 0, target: i === last ? odd : target })),
          );
          await mismatch(stage, calls, [0, last], 'A broadcast of sizes that differ');
        },
      },
      {
        name: 'two members that each claim to be the root reject',
        unavailable,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage);
          const target = targetSlice(exchange);
          const calls = members.map((member, i) => settle(member.broadcast({ group, root: i % 2, target })));
          await mismatch(stage, calls, [0, 1], 'A broadcast of two roots');
        },
      },
      {
        name: 'two members that each expect the other to be the root reject, and so do all',
        unavailable,
        async run(stage) {
          const { members, group, exchange } = await prepared(stage);
          const target = targetSlice(exchange);
          const calls = members.map((member, i) => settle(member.broadcast({ group, root: (i + 1) % 2, target })));
          await mismatch(stage, calls, [...calls.keys()], 'A broadcast without a sender');
        },
      },
    ],
  };
}

async function prepared(stage: Stage<'broadcast'>) {
  const members = await stage.members();
  const group = await joinGroup(stage, members);
  const exchange = { group, root: 0, sizeBytes: 4096, kind: await anyKind(members), seed: 1 };
  await prepare(members, exchange);
  return { members, group, exchange };
}

/**
 * Asserts that all calls end, and that those at `wrong` end with an error; other members may already have their bytes.
 */
async function mismatch(
  stage: Stage<'broadcast'>,
  calls: Promise<Outcome>[],
  wrong: readonly number[],
  what: string,
): Promise<void> {
  const outcomes = await within(stage.lossMs, what, Promise.all(calls));
  for (const rank of wrong) assertError(outcomes[rank]!, {}, `${what} at rank ${rank}`);
  const seen = outcomes.filter(({ error }) => error instanceof RangeError);
  assert.ok(seen.length > 0, `${what} must reject with a RangeError at one member at least`);
}
