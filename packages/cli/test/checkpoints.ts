import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
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

/** SHA-256 of every tensor in a folder's safetensors files, read here and not by the code that is tested. */
export async function tensorDigests(folder: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const name of (await readdir(folder)).filter((entry) => entry.endsWith('.safetensors'))) {
    const bytes = await readFile(join(folder, name));
    const data = 8 + Number(bytes.readBigUInt64LE(0));
    const { __metadata__, ...tensors } = JSON.parse(bytes.toString('utf8', 8, data));
    for (const [
      tensor,
      {
        data_offsets: [begin, end],
      },
    ] of Object.entries<{ data_offsets: [number, number] }>(tensors)) {
      digests.set(
        tensor,
        createHash('sha256')
          .update(bytes.subarray(data + begin, data + end))
          .digest('hex'),
      );
    }
  }
  return digests;
}
