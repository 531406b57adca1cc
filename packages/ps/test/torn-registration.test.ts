// Files that change while they are registered: between their headers and their last byte.
import { copyFile, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { FaultyDisk } from './support/faulty-disk.ts';
import { World } from './support/world.ts';

const KIB = 2 ** 10;

let world: World;
let checkpoint: TestCheckpoint;
let other: TestCheckpoint;
let disk: FaultyDisk;

const write = (count: number): Promise<TestCheckpoint> =>
  writeCheckpoint(
    Array.from({ length: count }, (_, index) => ({ name: `layers.${index}`, dtype: 'U8' as const, shape: [64 * KIB] })),
    { shardCount: 1 },
  );
beforeEach(async () => {
  disk = new FaultyDisk();
  [checkpoint, other] = [await write(8), await write(8)];
  world = await World.start(1, { runner: disk.runner });
});
afterEach(async () => {
  disk.does('ok');
  await world.end();
  disk.remove();
  await checkpoint.remove();
  await other.remove();
});

/** Replaces the content and restores the modification time. */
async function rewriteUnseen(file: string, replacement: string): Promise<void> {
  const { atime, mtime } = await stat(file);
  await writeFile(file, await readFile(replacement));
  await utimes(file, atime, mtime);
}

async function replace(file: string, replacement: string): Promise<void> {
  await copyFile(replacement, `${file}.new`);
  await rename(`${file}.new`, file);
}

const CHANGES: [string, (file: string, replacement: string) => Promise<void>][] = [
  ['rewritten', async (file, replacement) => writeFile(file, await readFile(replacement))],
  ['rewritten with its time restored', rewriteUnseen],
  ['replaced by another file', replace],
];

describe.each(['now', 'background'] as const)(
  'a file that changes between its header and its bytes, load %j',
  (load) => {
    it.each(CHANGES)('is refused if it is %s', async (_, change) => {
      const file = checkpoint.files[0]!;
      disk.does('stall');
      const loading = world
        .register('a', { files: checkpoint.folder, load })
        .then(() => world.ranks[0]!.call('loaded', { name: 'a' }))
        .then(
          () => undefined,
          (error: CheckpointEngineError) => error,
        );
      await disk.stalled();
      await change(file, other.files[0]!);
      disk.does('ok');
      expect(await loading).toMatchObject({ code: 'CE_FILE_CHANGED', file });
    });
  },
);

it('a file that streams and is rewritten with its time stamps restored fails the update', async () => {
  await world.register('a', { files: checkpoint.folder, stream: true });
  await world.gather('a');
  const file = checkpoint.files[0]!;
  await rewriteUnseen(file, other.files[0]!);
  expect(await world.failedUpdate('a')).toMatchObject([{ code: 'CE_FILE_CHANGED', file }]);
});
