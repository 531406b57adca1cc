import assert from 'node:assert/strict';
import type { Member, MemberOperations } from '../world/member.ts';

/** Number of files and mappings that a runtime may open by itself in the meantime. */
const slack = 3;
const rssSlackBytes = 32 * 1024 * 1024;
/** A leak grows in every round, whereas caches of the runtime do not. */
const rounds = 3;

/** Asserts that in at least one of a few rounds no member uses more resources after `work` than before. */
export async function noGrowth(
  members: readonly Member<MemberOperations>[],
  work: () => Promise<unknown>,
): Promise<void> {
  let grown: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = await Promise.all(members.map((member) => member.stats()));
    await work();
    const after = await Promise.all(members.map((member) => member.stats()));
    grown = members.flatMap(({ rank }, i) =>
      (['openFiles', 'sharedMappings', 'rssBytes'] as const)
        .filter((what) => after[i]![what] - before[i]![what] > (what === 'rssBytes' ? rssSlackBytes : slack))
        .map((what) => `${what} of rank ${rank} grew from ${before[i]![what]} to ${after[i]![what]}`),
    );
    if (grown.length === 0) return;
  }
  assert.fail(`It leaks, in each of ${rounds} rounds: ${grown.join(', ')}`);
}
