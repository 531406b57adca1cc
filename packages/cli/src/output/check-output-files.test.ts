import { link, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkOutputFiles } from './check-output-files.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'check-output-files-'));
  await writeFile(at('step-1.metas'), 'metas');
  await symlink('step-1.metas', at('a-link'));
  await link(at('step-1.metas'), at('another-name'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('checkOutputFiles', () => {
  it.each(['model.safetensors', 'MODEL.SAFETENSORS', 'model.safetensors.index.json'])(
    'does not replace weights: %s',
    async (name) => {
      await expect(checkOutputFiles([{ path: at(name), flag: '--trace' }], [])).rejects.toMatchObject({
        code: 'CE_CONFIG_INVALID',
        message: expect.stringMatching(/^--trace is ".*", which looks like a file of weights$/),
        hint: expect.stringMatching(/nothing has been done yet$/),
      });
    },
  );

  it.each(['step-1.metas', 'a-link', 'another-name'])('does not replace an input: %s', async (name) => {
    await expect(
      checkOutputFiles([{ path: at(name), flag: '--report' }], [undefined, at('step-1.metas')]),
    ).rejects.toThrow(/--report would replace .*, which this command reads/);
  });

  it('does not write two files to one path', async () => {
    const files = [
      { path: at('out'), flag: '--trace' },
      { path: `${folder}/./out`, flag: '--report' },
    ];
    await expect(checkOutputFiles(files, [])).rejects.toThrow(/--trace and --report have the same file/);
    await checkOutputFiles(
      files.map((file) => ({ ...file, path: '/dev/null' })),
      ['/dev/null', folder],
    );
  });

  it('needs a path', async () => {
    await expect(checkOutputFiles([{ path: '', flag: '--trace' }], [])).rejects.toThrow('--trace is empty');
  });
});
