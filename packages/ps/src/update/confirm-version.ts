import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { VersionChange } from '../progress-event.ts';
import { exchange } from '../util/exchange.ts';
import type { Contact } from './handshake.ts';
import type { Meeting } from './meet.ts';
import type { UpdateRun } from './update-run.ts';
import { versionAtEnd } from './version-at-end.ts';
import { commonVersion } from './weight-version.ts';

/**
 * Waits until the workers of all ranks hold the weights, and confirms the version to this rank's worker. If a rank
 * fails before that, no worker receives a confirmation. If one fails during the confirmations, its instance has workers
 * with different versions, and its version counts as unknown.
 *
 * @param pass The pass of buckets, 0 and up.
 * @returns The change at this rank's instance; nothing if this rank receives nothing.
 */
export async function confirmVersion(
  run: UpdateRun,
  meeting: Meeting,
  { session, inference }: Pick<Contact, 'session' | 'inference'>,
  pass = 0,
): Promise<VersionChange | undefined> {
  const { waiting, life } = run;
  const { epoch, version } = meeting;
  const after = await versionAtEnd(run, meeting);
  const held = await exchange(epoch, `held-${pass}`, () => encode(session?.held ?? null), waiting);
  version.settle(after);
  if (session === undefined) return undefined;
  await session.confirm?.(after, { signal: life.signal });
  const ofGroup = inference.ranks.map((rank) => decodeFromRank<string | null>(held[epoch.members.indexOf(rank)]!));
  return { groupIndex: inference.index, before: commonVersion(ofGroup), after };
}
