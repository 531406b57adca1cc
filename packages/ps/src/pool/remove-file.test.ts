import { existsSync, readdirSync, statSync } from 'node:fs';
import { chmod, link, mkdtemp, readFile, rename, rm, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { fileStateOf } from '@checkpoint-engine/meta';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RemovableFile, removeFile } from './remove-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-remove-'));
});
afterEach(() => rm(folder, { recursive: true }));
const isRoot = getuid?.() === 0;
if (isRoot) console.warn('skipped: a file that cannot be removed: root may remove every file');

async function file(name: string, content = 'weights'): Promise<RemovableFile> {
  const path = join(folder, name);
  await writeFile(path, content);
  return { path, state: fileStateOf(await stat(path, { bigint: true })) };
}

describe('removeFile', () => {
  it('removes a file once, and leaves nothing behind', async () => {
    const own = await file('a');
    expect(await removeFile(own)).toBe(true);
    expect(await removeFile(own)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('removes one of the names of a file', async () => {
    const own = await file('a');
    await link(own.path, join(folder, 'other'));
    expect(await removeFile(own)).toBe(true);
    expect(readdirSync(folder)).toEqual(['other']);
  });

  it('keeps another file that has the name now', async () => {
    const own = await file('a');
    const next = await file('next', 'step 2');
    await rename(next.path, own.path);
    expect(await removeFile(own)).toBe(false);
    expect(await readFile(own.path, 'utf8')).toBe('step 2');
  });

  it('keeps a file that was written to since', async () => {
    const own = await file('a');
    const { atime, mtime } = statSync(own.path);
    await writeFile(own.path, 'longer than before');
    await utimes(own.path, atime, mtime);
    expect(await removeFile(own)).toBe(false);
    await writeFile(own.path, 'WEIGHTS');
    expect(await removeFile(own)).toBe(false);
    expect(await readFile(own.path, 'utf8')).toBe('WEIGHTS');
  });

  it('keeps a symbolic link and its file', async () => {
    const own = await file('a');
    const path = join(folder, 'link');
    await symlink('a', path);
    expect(await removeFile({ ...own, path })).toBe(false);
    expect(readdirSync(folder)).toEqual(['a', 'link']);
  });

  it('never loses a file that takes the name at the same time', async () => {
    for (let round = 0; round < 200; round++) {
      const own = await file('a');
      const next = await file('next', `step ${round}`);
      const [removed] = await Promise.all([removeFile(own), rename(next.path, own.path)]);
      expect(await readFile(own.path, 'utf8'), `removed: ${removed}`).toBe(`step ${round}`);
      expect(readdirSync(folder)).toEqual(['a']);
      await unlink(own.path);
    }
  });

  it.skipIf(isRoot)('reports why a file cannot be removed, and keeps it', async () => {
    const own = await file('a');
    await chmod(folder, 0o500);
    try {
      await expect(removeFile(own)).rejects.toMatchObject({ code: 'EACCES' });
    } finally {
      await chmod(folder, 0o700);
    }
    expect(existsSync(own.path)).toBe(true);
  });
});
