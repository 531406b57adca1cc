import { Buffer } from 'node:buffer';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeSafetensorsHeader } from './encode-safetensors-header.ts';
import { readCheckpoint } from './read-checkpoint.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meta-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Writes a file with tensors of 4 bytes each. */
async function shard(name: string, ...tensors: string[]): Promise<string> {
  const header = encodeSafetensorsHeader(tensors.map((tensor) => ({ name: tensor, dtype: 'F32', shape: [1] })));
  const bytes = new Uint8Array(header.length + tensors.length * 4);
  bytes.set(header);
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

async function writeIndex(index: unknown): Promise<void> {
  const text = typeof index === 'string' ? index : JSON.stringify(index);
  await writeFile(join(folder, 'model.safetensors.index.json'), text);
}

const failsWith = (code: string, message: RegExp, more: object = {}) => ({
  code,
  message: expect.stringMatching(message),
  ...more,
});

describe('readCheckpoint', () => {
  it('reads one file', async () => {
    const path = await shard('a.safetensors', 'x', 'y');
    const checkpoint = await readCheckpoint(path);
    expect(checkpoint).toMatchObject({ files: [{ path }], totalBytes: 8, warnings: [] });
    expect(checkpoint.tensors.map((tensor) => tensor.name)).toEqual(['x', 'y']);
    expect(checkpoint.index).toBeUndefined();
  });

  it('reads a list of files in its order', async () => {
    const b = await shard('b.safetensors', 'x');
    const a = await shard('a.safetensors', 'y');
    const { files, tensors } = await readCheckpoint([b, a]);
    expect(files.map((file) => file.path)).toEqual([b, a]);
    expect(tensors.map((tensor) => tensor.name)).toEqual(['x', 'y']);
  });

  it('reads all safetensors files of a folder by name', async () => {
    for (let i = 20; i > 0; i--) await shard(`m-${String(i).padStart(2, '0')}.safetensors`, `t${i}`);
    await writeFile(join(folder, '.hidden.safetensors'), 'x');
    await writeFile(join(folder, 'config.json'), '{}');
    const { tensors, totalBytes } = await readCheckpoint(folder);
    expect(tensors.map((tensor) => tensor.name)).toEqual(Array.from({ length: 20 }, (_, i) => `t${i + 1}`));
    expect(totalBytes).toBe(80);
  });

  it('rejects a file that aria2 still writes, with and without an index', async () => {
    const path = await shard('model.safetensors', 'x');
    await writeFile(`${path}.aria2`, '');
    const failure = failsWith('CE_FILE_INVALID', /model\.safetensors": is not complete: .*\.aria2" shows that aria2/, {
      file: path,
      hint: expect.stringMatching(/Wait until the download is complete/),
    });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failure);
    await writeIndex({ weight_map: { x: 'model.safetensors' } });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failure);
    await rm(`${path}.aria2`);
    expect((await readCheckpoint(folder)).warnings).toEqual([]);
  });

  it('reads a folder by its index, and returns irregularities as warnings', async () => {
    await mkdir(join(folder, 'sub'));
    const a = await shard('sub/a.safetensors', 'x');
    const b = await shard('b.safetensors', 'y', 'z');
    const other = await shard('consolidated.safetensors', 'x', 'y', 'z');
    const weightMap = { z: 'b.safetensors', x: 'sub/a.safetensors', y: 'b.safetensors' };
    await writeIndex({ metadata: { total_size: 12, more: [1.5] }, weight_map: weightMap, extra: null });
    const checkpoint = await readCheckpoint(folder);
    expect(checkpoint.files.map((file) => file.path)).toEqual([b, a]);
    expect(checkpoint.index?.totalSizeBytes).toBe(12);
    expect([...checkpoint.index!.weightMap]).toEqual(Object.entries(weightMap));
    expect(checkpoint.warnings).toEqual([`File "${other}" is left out: the index does not name it`]);
  });

  it('reads an index that spells the path of a file in several ways', async () => {
    await mkdir(join(folder, 'sub'));
    const a = await shard('a.safetensors', 'x', 'y', 'z');
    const b = await shard('sub/b.safetensors', 'w');
    const weightMap = { x: './a.safetensors', y: 'a.safetensors', z: './/./a.safetensors', w: 'sub//./b.safetensors' };
    await writeIndex({ weight_map: weightMap });
    const checkpoint = await readCheckpoint(folder);
    expect(checkpoint.files.map((file) => file.path)).toEqual([a, b]);
    expect(checkpoint.warnings).toEqual([]);
  });

  it('names what a killed update left behind, and hints at names that are not UTF-8', async () => {
    await shard('a.safetensors', 'x');
    const left = join(folder, '.checkpoint-engine-removed-1');
    await writeFile(left, '');
    expect((await readCheckpoint(folder)).warnings).toEqual([
      `File "${left}" was not removed completely: delete it, unless an update is running`,
    ]);
    await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff]), Buffer.from('.safetensors')]), 'x');
    await expect(readCheckpoint(folder)).rejects.toMatchObject({ hint: expect.stringMatching(/UTF-8/) });
  });

  it('warns about a different total_size', async () => {
    await shard('a.safetensors', 'x');
    await writeIndex({ metadata: { total_size: 5 }, weight_map: { x: 'a.safetensors' } });
    const { warnings, totalBytes } = await readCheckpoint(folder);
    expect(totalBytes).toBe(4);
    expect(warnings).toEqual([expect.stringMatching(/total_size of 5 bytes, but the tensors have 4/)]);
  });

  it.each([{}, { metadata: {} }, { metadata: { total_size: 'much' } }])('accepts an index with %j', async (more) => {
    await shard('a.safetensors', 'x');
    await writeIndex({ ...more, weight_map: { x: 'a.safetensors' } });
    await expect(readCheckpoint(folder)).resolves.toMatchObject({ warnings: [] });
  });

  it('refuses empty or missing input', async () => {
    await expect(readCheckpoint([])).rejects.toMatchObject(failsWith('CE_CHECKPOINT_EMPTY', /list of files is empty/));
    await writeFile(join(folder, 'config.json'), '{}');
    await expect(readCheckpoint(folder)).rejects.toMatchObject(
      failsWith('CE_CHECKPOINT_EMPTY', /no \*\.safetensors file among its 1 entry/, { file: folder }),
    );
    await writeIndex({ weight_map: {} });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith('CE_CHECKPOINT_EMPTY', /without a tensor/));
    const missing = join(folder, 'missing');
    await expect(readCheckpoint(missing)).rejects.toMatchObject(failsWith('CE_FILE_NOT_FOUND', /missing/));
    await expect(readCheckpoint([missing])).rejects.toMatchObject(failsWith('CE_FILE_NOT_FOUND', /missing/));
    await expect(readCheckpoint([folder])).rejects.toMatchObject(failsWith('CE_FILE_UNREADABLE', /directory/));
  });

  it('names the tensor and both files of a duplicate', async () => {
    const a = await shard('a.safetensors', 'x', 'y');
    const b = await shard('b.safetensors', 'z', 'y');
    const error = failsWith('CE_TENSOR_DUPLICATE', /expected each tensor once/, { tensor: 'y', file: b });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(error);
    await expect(readCheckpoint(folder)).rejects.toThrow(a);
    await expect(readCheckpoint([a, a])).rejects.toMatchObject({ code: 'CE_TENSOR_DUPLICATE', tensor: 'x' });
  });

  it('reports the first faulty file in order, regardless of timing', async () => {
    const paths = await Promise.all(Array.from({ length: 30 }, (_, i) => shard(`m${i + 10}.safetensors`, `t${i}`)));
    for (const at of [3, 4, 5, 25]) await writeFile(paths[at]!, 'short');
    for (let i = 0; i < 10; i++) {
      await expect(readCheckpoint(folder)).rejects.toMatchObject({ code: 'CE_FILE_TRUNCATED', file: paths[3] });
    }
  });

  const good = { x: 'a.safetensors', y: 'b.safetensors' };
  it.each<[string, unknown, string, RegExp, string?]>([
    ['a missing shard', { ...good, z: 'c.safetensors' }, 'CE_FILE_NOT_FOUND', /c\.safetensors/],
    [
      'a tensor that is not in its shard',
      { ...good, z: 'b.safetensors' },
      'CE_TENSOR_MISSING',
      /b\.safetensors.*"z"/,
      'z',
    ],
    [
      'a tensor in another shard',
      { x: 'b.safetensors', y: 'a.safetensors' },
      'CE_FILE_INVALID',
      /is in ".*a\.safe/,
      'x',
    ],
    ['a name that no shard has', { x: 'a.safetensors', w: 'b.safetensors' }, 'CE_TENSOR_MISSING', /"w"/, 'w'],
    [
      'a path out of the folder',
      { ...good, z: '../c.safetensors' },
      'CE_FILE_INVALID',
      /"\.\.\/c.*inside the folder/,
      'z',
    ],
    ['a nested path out of the folder', { ...good, z: 's/../../c' }, 'CE_FILE_INVALID', /inside the folder/, 'z'],
    ['a path out of the folder with backslashes', { ...good, z: '..\\c' }, 'CE_FILE_INVALID', /inside the folder/, 'z'],
    [
      'an absolute path',
      { ...good, z: '/etc/passwd' },
      'CE_FILE_INVALID',
      /expected a path relative to the folder/,
      'z',
    ],
    ['a drive', { ...good, z: 'C:c' }, 'CE_FILE_INVALID', /expected a path relative to the folder/, 'z'],
    ['a NUL', { ...good, z: 'a\0' }, 'CE_FILE_INVALID', /expected a path without control characters/, 'z'],
    ['no name', { ...good, z: '' }, 'CE_FILE_INVALID', /expected the path of a file/, 'z'],
    [
      'a path with two dots inside the folder',
      { ...good, z: 's/../b.safetensors' },
      'CE_FILE_INVALID',
      /expected a path .* without "\.\."/,
      'z',
    ],
    ['a folder', { ...good, z: 's/' }, 'CE_FILE_INVALID', /expected the path of a file/, 'z'],
    ['the folder', { ...good, z: './.' }, 'CE_FILE_INVALID', /expected the path of a file/, 'z'],
    ['a long path', { ...good, z: `../${'a'.repeat(9e5)}` }, 'CE_FILE_INVALID', /^.{400,800}$/, 'z'],
    ['a number', { ...good, z: 5 }, 'CE_FILE_INVALID', /its shard is 5, expected a string/, 'z'],
    ['an array', [], 'CE_FILE_INVALID', /weight_map is \[\], expected an object/],
  ])('refuses an index whose weight_map has %s', async (_, weightMap, code, message, tensor) => {
    await shard('a.safetensors', 'x');
    await shard('b.safetensors', 'y');
    await writeIndex({ weight_map: weightMap });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith(code, message, { tensor }));
  });

  it('refuses a tensor that the index does not name', async () => {
    const a = await shard('a.safetensors', 'x', 'y');
    await writeIndex({ weight_map: { x: 'a.safetensors' } });
    const error = failsWith('CE_FILE_INVALID', /the index does not name it/, { tensor: 'y' });
    await expect(readCheckpoint(folder)).rejects.toMatchObject(error);
    await expect(readCheckpoint(folder)).rejects.toThrow(a);
  });

  it.each<[string, string, RegExp]>([
    ['no JSON', 'weights', /has "w" at character 0/],
    ['an array', '[]', /the index is \[\], expected an object/],
    ['no weight_map', '{}', /has no weight_map/],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n', /is a Git LFS pointer/],
    ['an HTML page', '<!DOCTYPE html><title>Sign in</title>', /is an HTML page/],
    ['text', 'Entry not found', /is text: "Entry not found"/],
    ['a tensor twice', '{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}', /key "x" twice/],
  ])('refuses an index with %s', async (_, text, message) => {
    await shard('a.safetensors', 'x');
    await writeIndex(text);
    const file = join(folder, 'model.safetensors.index.json');
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith('CE_FILE_INVALID', message, { file }));
  });

  it('stops when the signal fires', async () => {
    await shard('a.safetensors', 'x');
    const signal = AbortSignal.abort();
    for (const source of [folder, [join(folder, 'a.safetensors')]]) {
      await expect(readCheckpoint(source, { signal })).rejects.toMatchObject({ code: 'CE_ABORTED' });
    }
  });
});
