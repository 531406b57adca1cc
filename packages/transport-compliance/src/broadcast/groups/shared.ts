import assert from 'node:assert/strict';
import type { Slice } from '../../buffers.ts';
import type { TestGroup } from '../../suite/define-suite.ts';
import { assertError, type Outcome, rejects, settle } from '../../suite/outcome.ts';
import type { Stage, StageMember } from '../../suite/stage.ts';
import type { SuiteOptions } from '../../suite/suite-options.ts';
import { within } from '../../suite/within.ts';
import { joinGroup, supportsOf } from '../exchange.ts';

type Members = readonly StageMember<'broadcast'>[];

const BUFFER_BYTES = 300_000;
const FIRST: Range = { offsetBytes: 64, sizeBytes: 100_001 };
const SECOND: Range = { offsetBytes: 150_000, sizeBytes: 100_001 };

type Range = Omit<Slice, 'buffer'>;

/**
 * Tests of broadcasts into memory that all members have mapped, and of the refusal if the transport does not support
 * them.
 */
export function sharedTests({ maxRanks = 4, world }: SuiteOptions<'broadcast'>): TestGroup<'broadcast'> {
  const needsTwo = maxRanks < 2 ? 'it needs two ranks' : undefined;
  const test = (name: string, run: (stage: Stage<'broadcast'>, shared: Shared) => Promise<void>) => ({
    name,
    unavailable: needsTwo,
    async run(stage: Stage<'broadcast'>) {
      const members = await stage.members();
      if ((await supportsOf(members)).sharedTarget) await run(stage, await Shared.map(stage, members));
    },
  });
  return {
    name: 'shared',
    tests: [
      {
        name: 'every rank fills one memory for all, or it is refused',
        async run(stage) {
          const members = await stage.members();
          if (!(await supportsOf(members)).sharedTarget) {
            const [member] = members;
            const group = await joinGroup(stage, members);
            await member!.allocate({ buffer: 'own', kind: 'host', sizeBytes: 64 });
            const refused = member!.broadcastShared({
              group,
              root: 0,
              target: { buffer: 'own', offsetBytes: 0, sizeBytes: 64 },
            });
            return await rejects(refused, { code: 'CE_NOT_SUPPORTED' }, 'A broadcast into shared memory');
          }
          const shared = await Shared.map(stage, members);
          for (const { rank } of members) {
            await shared.send(rank, FIRST, rank);
            await shared.verify(FIRST, rank, rank);
          }
        },
      },
      test('nothing is written before every member has called', async (_, shared) => {
        await shared.send(0, FIRST, 1);
        const early = shared.others.map((member) => settle(shared.sendAt(member, 0, FIRST, 2)));
        await pause(50);
        await shared.verify(FIRST, 0, 1);
        await shared.sendAt(shared.last, 0, FIRST, 2);
        for (const outcome of await Promise.all(early)) assert.deepEqual(outcome, {});
        await shared.verify(FIRST, 0, 2);
      }),
      test('ranges that do not touch do not wait for each other, and one range is written in order', async (_, shared) => {
        const calls = shared.members.flatMap((member) => [
          shared.sendAt(member, 0, FIRST, 1),
          shared.sendAt(member, 1, SECOND, 2),
          shared.sendAt(member, 1, FIRST, 3),
        ]);
        await Promise.all(calls);
        await shared.verify(FIRST, 1, 3);
        await shared.verify(SECOND, 1, 2);
      }),
      test('an error of the fill function rejects at every member', async (stage, shared) => {
        const calls = shared.members.map((member) =>
          settle(
            member.broadcastShared({ group: shared.group, root: 0, target: shared.slice(FIRST), failure: 'no bytes' }),
          ),
        );
        for (const outcome of await within(stage.abortMs, 'the failure', Promise.all(calls))) {
          assertError(outcome, { message: 'no bytes' }, 'A broadcast whose root cannot fill it');
        }
      }),
      test('ranges or roots that differ reject, and so does the other kind of broadcast', async (stage) => {
        const wrong: ((shared: Shared, at: number) => Promise<void>)[] = [
          (shared, at) => shared.sendAt(shared.members[at]!, 0, at === 0 ? FIRST : { ...FIRST, sizeBytes: 99 }, 1),
          (shared, at) => shared.sendAt(shared.members[at]!, 0, at === 0 ? FIRST : SECOND, 1),
          (shared, at) => shared.sendAt(shared.members[at]!, at % 2, FIRST, 1),
          (shared, at) => shared.sendAt(shared.members[at]!, (at + 1) % 2, FIRST, 1),
          (shared, at) => (at === 0 ? shared.sendAt(shared.members[0]!, 0, FIRST, 1) : shared.plain(at)),
          (shared, at) => (at === 0 ? shared.plain(0) : shared.sendAt(shared.members[at]!, 0, FIRST, 1)),
        ];
        for (const call of wrong) {
          const shared = await Shared.map(stage, (await stage.members()).slice(0, 2));
          const outcomes = [0, 1].map((at) => settle(call(shared, at)));
          await mismatch(stage, outcomes);
          await shared.leave();
        }
      }),
      {
        name: 'a member is killed before its call: the others reject with its rank',
        unavailable: world.cannotKill ?? needsTwo,
        async run(stage) {
          const members = await stage.freshMembers();
          if (!(await supportsOf(members)).sharedTarget) return; // refused above
          const shared = await Shared.map(stage, members);
          const pending = shared.others.map((member) => settle(shared.sendAt(member, 0, FIRST, 1)));
          await pause(50);
          await shared.last.kill();
          const outcomes = await within(stage.lossMs, 'the loss', Promise.all(pending));
          for (const outcome of outcomes) {
            assertError(
              outcome,
              { code: 'CE_RANK_LOST', lostRank: shared.last.rank },
              'A broadcast that lost a member',
            );
          }
        },
      },
    ],
  };
}

/** A group whose members have mapped the same memory, which the first of them allocated. */
class Shared {
  readonly group: string;
  readonly members: Members;
  readonly #buffer: string;

  private constructor(group: string, members: Members, buffer: string) {
    this.group = group;
    this.members = members;
    this.#buffer = buffer;
  }

  static async map(stage: Stage<'broadcast'>, members: Members): Promise<Shared> {
    const group = await joinGroup(stage, members);
    const [first, ...others] = members;
    const buffer = stage.newName('shared');
    await first!.allocate({ buffer, kind: 'host', sizeBytes: BUFFER_BYTES });
    await first!.fill({ buffer });
    const handle = await first!.handleOf({ buffer });
    await Promise.all(others.map((member) => member.open({ buffer, handle, sizeBytes: BUFFER_BYTES })));
    return new Shared(group, members, buffer);
  }

  /** All but the last member. */
  get others(): Members {
    return this.members.slice(0, -1);
  }

  get last(): Members[number] {
    return this.members.at(-1)!;
  }

  slice(range: Range): Slice {
    return { buffer: this.#buffer, ...range };
  }

  sendAt(member: Members[number], root: number, range: Range, seed: number): Promise<void> {
    return member.broadcastShared({ group: this.group, root, target: this.slice(range), pattern: { root, seed } });
  }

  async send(root: number, range: Range, seed: number): Promise<void> {
    await Promise.all(this.members.map((member) => this.sendAt(member, root, range, seed)));
  }

  /** A broadcast of the other kind, of the same range. */
  plain(at: number): Promise<void> {
    return this.members[at]!.broadcast({ group: this.group, root: 0, target: this.slice(FIRST) });
  }

  /** Checks that every member sees the bytes. */
  async verify(range: Range, root: number, seed: number): Promise<void> {
    const { offsetBytes, sizeBytes } = range;
    for (const member of this.members) {
      const wrong = await member.check({
        buffer: this.#buffer,
        contents: [{ ...range, pattern: { root, seed } }],
        fromBytes: offsetBytes,
        toBytes: offsetBytes + sizeBytes,
      });
      assert.equal(wrong, null, `Rank ${member.rank} after ${root} filled the memory: ${wrong}`);
    }
  }

  async leave(): Promise<void> {
    await Promise.all(this.members.map((member) => member.leave({ group: this.group })));
  }
}

async function mismatch(stage: Stage<'broadcast'>, calls: readonly Promise<Outcome>[]): Promise<void> {
  const outcomes = await within(stage.lossMs, 'the mismatch', Promise.all(calls));
  for (const outcome of outcomes) assertError(outcome, {}, 'A broadcast that members call differently');
  assert.ok(
    outcomes.some(({ error }) => error instanceof RangeError),
    'One member at least sees a RangeError',
  );
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
