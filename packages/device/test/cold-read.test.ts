import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quietEnd, Script } from './support.ts';

const MIB = 2 ** 20;
/** No part of it is aligned to a disk's blocks. */
const SKIPPED_BYTES = 1234;
const SIZE_BYTES = 96 * MIB + 777;

let folder: string;
let path: string;
const bytes = randomBytes(SIZE_BYTES);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ce-cold-'));
  path = join(folder, 'weights');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Drops the file from the page cache. Returns why that is not possible (a tmpfs) or cannot be checked. */
function writeCold(): string | undefined {
  writeFileSync(path, bytes);
  try {
    execFileSync('sync', [path]);
    execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
    return cachedBytes() < SIZE_BYTES / 4 ? undefined : skipped(`${tmpdir()} keeps files in the page cache`);
  } catch (error) {
    return skipped(`sync, dd or fincore is missing: ${error}`);
  }
}

/** The reports of tests do not show reasons. */
function skipped(reason: string): string {
  console.warn(`skipped: reads of uncached files: ${reason}`);
  return reason;
}

const cachedBytes = (): number =>
  Number(execFileSync('fincore', ['-n', '-b', '-o', 'RES', path], { encoding: 'utf8' }));

/** Reads all but the first bytes of the file in a separate process, which has no measurements of this disk yet. */
const reader = (): string => `
  import { createHash } from 'node:crypto';
  import { createHostDevice } from '@checkpoint-engine/device';
  const device = await createHostDevice({ threads: 1 });
  const memory = await device.allocateHost(${SIZE_BYTES});
  const sizeBytes = ${SIZE_BYTES - SKIPPED_BYTES};
  try {
    await memory.read([{ path: ${JSON.stringify(path)}, fileOffsetBytes: ${SKIPPED_BYTES}, offsetBytes: 512, sizeBytes }]);
    console.log(createHash('sha256').update(memory.view(512, sizeBytes)).digest('hex'));
  } catch ({ code, message }) {
    console.log(code, message);
  }
  await device.close();`;

it('reads uncached files through the page cache and past it, and gets the same bytes', async (context) => {
  const reason = writeCold();
  if (reason !== undefined) return context.skip(reason);
  const digest = createHash('sha256').update(bytes.subarray(SKIPPED_BYTES)).digest('hex');
  await expect(new Script(reader()).end()).resolves.toEqual(quietEnd(digest));
  const cached = cachedBytes() / SIZE_BYTES;
  expect(cached).toBeGreaterThan(0.1);
  expect(cached).toBeLessThan(0.9);
});

it('reports where an uncached file ends too early', async (context) => {
  const reason = writeCold();
  if (reason !== undefined) return context.skip(reason);
  truncateSync(path, SIZE_BYTES - 100);
  const { output } = await new Script(reader()).end();
  expect(output).toContain(
    `CE_FILE_TRUNCATED ${path} ends at byte ${SIZE_BYTES - 100}: it has ${SIZE_BYTES - 100} bytes, `,
  );
});
