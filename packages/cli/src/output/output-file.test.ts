import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkOutputFile, writeOutputFile } from './output-file.ts';
import { writeFifo } from './write-fifo.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'output-file-'));
  await mkdir(join(folder, 'a-folder'));
  await writeFile(join(folder, 'a-file'), 'old');
  await mkdir(join(folder, 'locked'), { mode: 0o555 });
});
afterAll(async () => {
  await chmod(join(folder, 'locked'), 0o755);
  await rm(folder, { recursive: true });
});
const isRoot = getuid?.() === 0;
if (isRoot) console.warn('skipped: a folder that this user may not write to: root may write everywhere');
const check = (name: string) => checkOutputFile({ path: join(folder, name), flag: '--trace' });

describe('checkOutputFile', () => {
  it.each([
    ['absent/out.json', /folder does not exist/],
    ['a-file/out.json', /not a folder/],
    ['a-folder', /is a directory/],
    [`${'x'.repeat(300)}.json`, /ENAMETOOLONG|too long/],
  ])('refuses %s', async (name, why) => {
    await expect(check(name)).rejects.toMatchObject({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(why) });
    await expect(check(name)).rejects.toThrow(/--trace/);
  });

  it.skipIf(isRoot)('refuses a folder that this user may not write to', async () => {
    await expect(check('locked/out.json')).rejects.toThrow(/may not write/);
  });

  it('leaves nothing behind, and does not change an old file', async () => {
    await check('new.json');
    await check('a-file');
    expect((await readdir(folder)).sort()).toEqual(['a-file', 'a-folder', 'locked']);
    expect(await readFile(join(folder, 'a-file'), 'utf8')).toBe('old');
    await checkOutputFile({ path: '/dev/null', flag: '--trace' });
  });
});

describe('writeOutputFile', () => {
  it('replaces a file as a whole, with the requested mode', async () => {
    const path = join(folder, 'secret');
    await writeOutputFile(path, 'new', 0o600);
    expect([await readFile(path, 'utf8'), (await stat(path)).mode & 0o777]).toEqual(['new', 0o600]);
    await rm(path);
  });

  it('writes to devices directly', async () => {
    await writeOutputFile('/dev/null', 'gone');
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true);
  });

  it('writes to a FIFO that a process reads, and does not wait for a reader', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    await checkOutputFile({ path, flag: '--trace' });
    await expect(writeOutputFile(path, 'x')).rejects.toThrow('it is a FIFO that no process reads');
    const reader = spawn('sh', ['-c', 'exec wc -c < "$0"', path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const counted = once(reader.stdout, 'data');
    const data = new Uint8Array(2 ** 20);
    await expect.poll(() => writeOutputFile(path, data).then(() => 'written', String)).toBe('written');
    expect(Number(String(await counted))).toBe(2 ** 20);
    await rm(path);
  });

  it('bounds the time that the reader of a FIFO has', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    // Both ends are open here, and nothing reads.
    const held = await open(path, 'r+');
    const writing = writeFifo(path, new Uint8Array(2 ** 20), 100);
    await expect(writing).rejects.toThrow('its reader took nothing for 100 ms');
    await held.close();
    await rm(path);
  });

  it('fails if the reader of a FIFO closes it early', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = spawn('sh', ['-c', 'exec head -c 100 < "$0"', path], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = once(reader, 'exit');
    const write = (): Promise<string> => writeFifo(path, new Uint8Array(2 ** 20)).then(() => 'written', String);
    await expect.poll(write).toMatch(/EPIPE/);
    await ended;
    await rm(path);
  });

  it('rejects and leaves nothing behind if it cannot write', async () => {
    await expect(writeOutputFile(join(folder, 'a-folder', 'absent', 'x'), 'y')).rejects.toThrow('ENOENT');
    await symlink('/dev/full', join(folder, 'full'));
    await expect(writeOutputFile(join(folder, 'full'), 'y')).rejects.toThrow('ENOSPC');
    await rm(join(folder, 'full'));
  });
});
