import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCheckpoint } from '@checkpoint-engine/cli';

/** A temporary folder; `remove` is for `afterAll`. */
export async function temporaryFolder(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-test-'));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** A small checkpoint of some hundred tensors in `folder`. */
export async function smallCheckpoint(folder: string, seed = 'a', sizeBytes: number = 4 * 2 ** 20): Promise<string> {
  await makeCheckpoint({ folder, sizeBytes, seed });
  return folder;
}
