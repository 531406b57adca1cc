import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, settle } from '../../suite/outcome.ts';
import { within } from '../../suite/within.ts';
import { anyKind, type Exchange, joinGroup, prepare, sendAt, supportsOf, targetSlice, verify } from '../exchange.ts';

/** Tests of several broadcasts at a time. */
export function pendingTests(): TestGroup<'broadcast'> {
  return {
    name: 'pending',
    tests: [
      {
        name: 'as many as maxPending, of all roots and sizes, arrive',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const kind = await anyKind(members);
          const count = Math.min((await supportsOf(members)).maxPending, 32);
          const exchanges = Array.from({ length: count }, (_, seed): Exchange => {
            const sizeBytes = seed % 3 === 0 ? 1_000_003 : 10 + seed;
            return { group, root: seed % members.length, sizeBytes, kind, seed };
          });
          for (const exchange of exchanges) await prepare(members, exchange);
          await Promise.all(members.flatMap((member) => exchanges.map((exchange) => sendAt(member, exchange))));
          for (const exchange of exchanges) await verify(members, exchange);
        },
      },
      {
        name: 'they take effect in order: each root passes on the bytes of the previous root',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const kind = await anyKind(members);
          const { maxPending } = await supportsOf(members);
          const exchange: Exchange = { group, root: 0, sizeBytes: 3_000_001, kind, seed: 1 };
          await prepare(members, exchange);
          const roots = members.map((member) => member.rank).slice(0, maxPending);
          const target = targetSlice(exchange);
          await Promise.all(
            members.flatMap((member) => roots.map((root) => member.broadcast({ group, root, target }))),
          );
          await verify(members, exchange);
        },
      },
      {
        name: 'they take effect in order: the last one into a target wins',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const kind = await anyKind(members);
          const { maxPending, outOfPlace } = await supportsOf(members);
          if (!outOfPlace) return; // in place, one target has one content
          const sizes = [2_000_000, 2_000_000, 2_000_000, 2_000_000].slice(0, maxPending);
          const exchanges = sizes.map((sizeBytes, seed): Exchange => {
            return { group, root: (sizes.length - seed) % members.length, sizeBytes, kind, seed, outOfPlace: true };
          });
          for (const exchange of exchanges) await prepare(members, exchange);
          const last = exchanges.at(-1)!;
          const target = targetSlice(last);
          await Promise.all(
            members.flatMap((member) =>
              exchanges.map(({ root, seed, sizeBytes }) => {
                const buffer = `${group}/${seed}/source`;
                const source = root === member.rank ? { buffer, offsetBytes: 96, sizeBytes } : undefined;
                return member.broadcast({ group, root, target, source });
              }),
            ),
          );
          await verify(members, last);
        },
      },
      {
        name: 'one more than maxPending is refused, and does not affect the others',
        async run(stage) {
          const members = await stage.members();
          const group = await joinGroup(stage, members);
          const kind = await anyKind(members);
          const { maxPending } = await supportsOf(members);
          if (members.length < 2 || maxPending > 1024) return; // Nothing stays pending, or there is practically no limit.
          const exchange: Exchange = { group, root: 1, sizeBytes: 64, kind, seed: 1 };
          await prepare(members, exchange);
          const [first, ...others] = members;
          const pending = Array.from({ length: maxPending }, () => sendAt(first!, exchange));
          const all = settle(Promise.all(pending));
          const refused = settle(sendAt(first!, exchange));
          assertError(
            await within(stage.abortMs, 'the refusal', refused),
            { code: 'CE_NOT_SUPPORTED' },
            'One too many',
          );
          const rest = others.flatMap((member) => pending.map(() => sendAt(member, exchange)));
          await Promise.all(rest);
          assert.deepEqual(await all, {}, 'The pending broadcasts must succeed');
          await verify(members, exchange);
        },
      },
    ],
  };
}
