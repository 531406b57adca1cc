import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeSafetensorsHeader } from './encode-safetensors-header.ts';
import { readSafetensorsHeader } from './read-safetensors-header.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meta-'));
});
afterAll(() => rm(folder, { recursive: true }));
const isRoot = getuid?.() === 0;
if (isRoot) console.warn('skipped: a file that this user may not read: root may read every file');

describe('readSafetensorsHeader', () => {
  it('reads the header and the size of a file', async () => {
    const path = join(folder, 'good.safetensors');
    const header = encodeSafetensorsHeader([{ name: 'w', dtype: 'BF16', shape: [2 ** 30, 8] }], { format: 'pt' });
    await writeFile(path, header);
    await truncate(path, header.length + 2 ** 34);
    const file = await readSafetensorsHeader(path);
    expect(file).toMatchObject({ path, sizeBytes: header.length + 2 ** 34, dataOffsetBytes: header.length });
    expect(file.tensors).toMatchObject([{ name: 'w', path, fileOffsetBytes: header.length, sizeBytes: 2 ** 34 }]);
  });

  it.each([
    ['~/model', /^No file at "~\/model"$/, /only a shell/],
    ['/nowhere/*.safetensors', /^No file at/, /patterns are not expanded/],
    ['/nowhere/model\n', /^No file at "\/nowhere\/model\\n"$/, /white space/],
    ['/nowhere/\x1b[31m', /^No file at "\/nowhere\/\\u001b\[31m"$/, /^Correct the path$/],
    ['org-1/model.x', /^No file at/, /has to be downloaded first$/],
    ['/nowhere/model', /^No file at/, /^Correct the path$/],
  ])('suggests what to do about a path that does not exist: %j', async (path, message, hint) => {
    await expect(readSafetensorsHeader(path)).rejects.toMatchObject({
      code: 'CE_FILE_NOT_FOUND',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });

  it('reports what is wrong with a path', async () => {
    const inFolder = (name: string) => join(folder, name);
    await mkdir(inFolder('folder.safetensors'));
    await writeFile(inFolder('empty'), '');
    await writeFile(inFolder('short'), '1234567');
    execFileSync('mkfifo', [inFolder('pipe')]);
    const cases: [string, string, RegExp][] = [
      ['missing', 'CE_FILE_NOT_FOUND', /No file at/],
      ['empty/below', 'CE_FILE_NOT_FOUND', /No file at/],
      ['folder.safetensors', 'CE_FILE_UNREADABLE', /is a directory, expected a regular file/],
      ['pipe', 'CE_FILE_UNREADABLE', /is a FIFO, expected a regular file/],
      ['nul\0', 'CE_FILE_UNREADABLE', /not readable/],
      ['empty', 'CE_FILE_TRUNCATED', /has 0 bytes/],
      ['short', 'CE_FILE_TRUNCATED', /has 7 bytes/],
    ];
    for (const [name, code, message] of cases) {
      const path = inFolder(name);
      await expect(readSafetensorsHeader(path)).rejects.toMatchObject({
        code,
        file: path,
        message: expect.stringMatching(message),
      });
    }
    await expect(readSafetensorsHeader(inFolder('pipe'))).rejects.toMatchObject({
      hint: expect.stringMatching(/regular file first/),
    });
  });

  it.skipIf(isRoot)('reports a file that this user may not read', async () => {
    const path = join(folder, 'secret');
    await writeFile(path, '');
    await chmod(path, 0);
    await expect(readSafetensorsHeader(path)).rejects.toMatchObject({ code: 'CE_FILE_UNREADABLE', file: path });
  });

  it('stops when the signal fires', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(readSafetensorsHeader(join(folder, 'missing'), { signal })).rejects.toMatchObject({
      code: 'CE_ABORTED',
      cause: reason,
    });
  });
});
