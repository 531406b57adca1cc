import { derivedVersion } from '../metas/derived-version.ts';
import type { Meeting } from './meet.ts';
import { tellDigests } from './tell-digests.ts';
import type { UpdateRun } from './update-run.ts';
import { versionOfCounter } from './weight-version.ts';

/**
 * Returns the version of an update when all bytes have been read. Called on all ranks.
 *
 * @throws `CE_FILE_*`, `CE_DIGEST_MISMATCH` Bytes that no worker needed cannot be read, or have changed.
 */
export async function versionAtEnd(run: UpdateRun, meeting: Meeting): Promise<string> {
  const { version, agreement } = meeting;
  if (version.known !== undefined) return version.known;
  await tellDigests(run, meeting);
  const { metas } = run.context;
  return derivedVersion({ metas, digests: run.verifier.expected.told }) ?? versionOfCounter(agreement.counter);
}
