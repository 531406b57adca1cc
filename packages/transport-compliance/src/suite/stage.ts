import { type Member, makeMember } from '../world/member.ts';
import type { Kind, Kinds } from '../world/world.ts';
import type { SuiteOptions } from './suite-options.ts';
import { within } from './within.ts';

/** A member of the kind under test. */
export type StageMember<K extends Kind> = Member<Kinds[K]['operations']>;

/**
 * Provides the members for a suite's tests. Tests share one standing world while they pass, because starting a world is
 * slow on real hardware; a test that kills members or closes them permanently gets a new one.
 */
export class Stage<K extends Kind> {
  readonly maxRanks: number;
  readonly bigBytes: number;
  readonly patienceMs: number;
  readonly lossMs: number;
  readonly abortMs: number;
  readonly #kind: K;
  readonly #options: SuiteOptions<K>;
  #standing: StageMember<K>[] | undefined;
  #fresh: StageMember<K>[] = [];
  #names = 0;

  constructor(kind: K, options: SuiteOptions<K>) {
    this.#kind = kind;
    this.#options = options;
    this.maxRanks = options.maxRanks ?? 4;
    this.bigBytes = options.bigBytes ?? 32 * 1024 * 1024 + 5;
    this.patienceMs = options.patienceMs ?? 30_000;
    this.lossMs = options.lossMs ?? 10_000;
    this.abortMs = options.abortMs ?? 2_000;
  }

  /** A name that no other test of the suite uses. */
  newName(prefix: string): string {
    return `${prefix}-${this.#names++}`;
  }

  /** The first members of the standing world. */
  async members(count: number = this.maxRanks): Promise<StageMember<K>[]> {
    this.#standing ??= await this.#start(this.maxRanks);
    return this.#standing.slice(0, count);
  }

  /** Members that only this test uses, and that it may kill. */
  async freshMembers(count: number = this.maxRanks): Promise<StageMember<K>[]> {
    const members = await this.#start(count);
    this.#fresh.push(...members);
    return members;
  }

  /** Runs a test and cleans up after it. */
  async run(test: (stage: Stage<K>) => Promise<void>): Promise<void> {
    try {
      await test(this);
      await Promise.all((this.#standing ?? []).map((member) => member.reset()));
      await Promise.all(this.#fresh.map((member) => member.close()));
    } catch (error) {
      await this.#kill(this.#fresh, this.#standing ?? []);
      this.#standing = undefined;
      throw error;
    } finally {
      this.#fresh = [];
    }
  }

  /** Shuts the standing world down. */
  async end(): Promise<void> {
    const members = this.#standing ?? [];
    this.#standing = undefined;
    await Promise.all(members.map((member) => member.close()));
  }

  async #start(count: number): Promise<StageMember<K>[]> {
    const { world, factory } = this.#options;
    const starting = world.start(this.#kind, factory, count);
    const members = await within(2 * this.patienceMs, `starting ${count} members`, starting);
    return members.map((member) => this.#impatient(member as StageMember<K>));
  }

  /** The same member with a time limit for each operation. */
  #impatient(member: StageMember<K>): StageMember<K> {
    const limit = (what: string, promise: Promise<unknown>) =>
      within(this.patienceMs, `${what} at rank ${member.rank}`, promise);
    const control = {
      rank: member.rank,
      kill: () => member.kill(),
      close: async () => void (await limit('shutting down', member.close())),
    };
    const operations = member as unknown as Record<string, (args: unknown) => Promise<unknown>>;
    return makeMember(control, (name, args) => limit(name, operations[name]!(args)));
  }

  async #kill(...members: StageMember<K>[][]): Promise<void> {
    const canKill = this.#options.world.cannotKill === undefined;
    // A member in this process cannot be killed: if it hangs, it remains.
    await Promise.allSettled(members.flat().map((member) => (canKill ? member.kill() : member.close())));
  }
}
