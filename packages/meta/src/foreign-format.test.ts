import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeSafetensorsHeader } from './encode-safetensors-header.ts';
import { foreignFormat } from './foreign-format.ts';
import { listCheckpointFiles, readCheckpoint } from './read-checkpoint.ts';
import { parseSafetensorsHeader } from './safetensors-header.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meta-'));
});
afterEach(() => rm(folder, { recursive: true }));

const failsWith = (code: string, message: RegExp, hint: RegExp = /./) => ({
  code,
  message: expect.stringMatching(message),
  hint: expect.stringMatching(hint),
});
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const good = (...tensors: string[]): Buffer => {
  const header = encodeSafetensorsHeader(tensors.map((name) => ({ name, dtype: 'U8', shape: [1] })));
  return Buffer.concat([header, Buffer.alloc(tensors.length)]);
};

describe('a file that is not in the safetensors format', () => {
  it.each<[string, Buffer, RegExp, RegExp]>([
    [
      'a Git LFS pointer',
      latin1(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 4976698672\n`),
      /is a Git LFS pointer/,
      /git lfs pull/,
    ],
    ['a git-annex pointer', latin1('/annex/objects/SHA256E-s10--abc.safetensors\n'), /git-annex pointer/, /annex get/],
    ['GGML', Buffer.concat([latin1('lmgg'), Buffer.alloc(60)]), /is a GGML file/, /safetensors files/],
    ['GGUF', Buffer.concat([latin1('GGUF\x03\0\0\0'), Buffer.alloc(99)]), /is a GGUF file/, /safetensors files/],
    [
      'a zip of PyTorch',
      Buffer.concat([latin1('PK\x03\x04'), Buffer.alloc(400)]),
      /zip archive, as written by PyTorch/,
      /safetensors\.torch/,
    ],
    [
      'a pickle',
      Buffer.concat([latin1('\x80\x02\x8a\nl\xfc\x9cF\xf9 j'), Buffer.alloc(99)]),
      /Python pickle/,
      /safetensors\.torch/,
    ],
    [
      'a web page',
      latin1('\n<!DOCTYPE html><title>401</title>'.repeat(9)),
      /is an HTML page/,
      /Download the file again/,
    ],
    ['an answer of S3', latin1('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), /XML/, /Download/],
    ['an error in JSON', latin1('{"error": "Access to model x/y is restricted"}'), /is JSON text: .*restricted/, /./],
    ['an index', latin1('{"metadata": {}, "weight_map": {"a": "b.safetensors"}}'), /is the index/, /Pass the folder/],
    ['gzip', gzipSync(good('a')), /compressed with gzip/, /Unpack/],
    ['xz', Buffer.concat([latin1('\xfd7zXZ\0'), Buffer.alloc(60)]), /compressed with xz/, /Unpack/],
    ['zstd', Buffer.concat([latin1('\x28\xb5\x2f\xfd'), Buffer.alloc(60)]), /compressed with zstd/, /Unpack/],
    ['HDF5', Buffer.concat([latin1('\x89HDF\r\n\x1a\n'), Buffer.alloc(60)]), /HDF5/, /Convert/],
    ['text', latin1('Entry not found\n'), /is text: "Entry not found/, /Download/],
    ['nothing but zeros', Buffer.alloc(5000), /begins with zeros/, /Wait until/],
  ])('is reported as %s', async (_, bytes, message, hint) => {
    const path = join(folder, 'model.safetensors');
    await writeFile(path, bytes);
    const error = { ...failsWith('CE_FILE_INVALID', message, hint), file: path };
    await expect(readCheckpoint(folder)).rejects.toMatchObject(error);
    await expect(readCheckpoint(path)).rejects.toMatchObject(error);
  });

  it('is never accepted', () => {
    const names = fc.array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 20 });
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ maxLength: 30 }), { maxLength: 20 }), names, (tensors, metadata) => {
        const bytes = encodeSafetensorsHeader(
          tensors.filter((name) => name !== '__metadata__').map((name) => ({ name, dtype: 'U8', shape: [0] })),
          Object.fromEntries(metadata.map((key) => [key, key])),
        );
        parseSafetensorsHeader(bytes, { path: 'x', fileSizeBytes: bytes.length });
        expect(foreignFormat(bytes, 'x')).toBeUndefined();
      }),
    );
  });
});

describe('a folder without a safetensors file', () => {
  it.each([
    ['pytorch_model.bin', /PyTorch format only \(pytorch_model\.bin\)/, /safe_serialization/],
    ['consolidated.00.pth', /PyTorch format only/, /safetensors\.torch/],
    ['m-q4.gguf', /GGUF files/, /converted from/],
    ['__0_0.distcp', /torch\.distributed/, /Export/],
    ['model.safetensors.incomplete', /have not finished \(model\.safetensors\.incomplete\)/, /Wait/],
    ['snapshots', /cache of a Hugging Face repository/, /"snapshots"/],
    ['model.safetensors.index.json.bak', /^Folder ".*" has no .* among its 1 entry$/, /Pass the folder/],
    ['MODEL.SAFETENSORS', /names do not end in "\.safetensors" in lower case.* \(MODEL\.SAFETENSORS\)/, /Rename/],
    ['.model.safetensors', /begin with a dot \(\.model\.safetensors\)/, /Rename/],
  ])('is reported to have %s', async (name, message, hint) => {
    await writeFile(join(folder, name), 'PK');
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith('CE_CHECKPOINT_EMPTY', message, hint));
  });
});

describe('files that an index or a link names', () => {
  const index = (map: Record<string, string>) =>
    writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));

  it('are all reported if they are missing, with the index', async () => {
    await writeFile(join(folder, '1.safetensors'), good('a'));
    await symlink('../../blobs/abc', join(folder, '3.safetensors'));
    await index({ a: '1.safetensors', b: '2.safetensors', c: '3.safetensors' });
    const message =
      /index ".*index\.json" names 3 files, and 2 .* missing: 2\.safetensors, 3\.safetensors \(a link to "\.\.\/\.\.\/blobs\/abc"/;
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith('CE_FILE_NOT_FOUND', message, /Download/));
    expect(await listCheckpointFiles(folder)).toEqual([join(folder, '1.safetensors')]);
  });

  it('are reported with their links if these are broken', async () => {
    await symlink('../../blobs/abc', join(folder, 'model.safetensors'));
    await expect(readCheckpoint(folder)).rejects.toMatchObject(
      failsWith('CE_FILE_NOT_FOUND', /is a link to "\.\.\/\.\.\/blobs\/abc", which does not exist/, /Download/),
    );
    await symlink('b', join(folder, 'a'));
    await symlink('a', join(folder, 'b'));
    await expect(readCheckpoint(join(folder, 'a'))).rejects.toMatchObject(
      failsWith('CE_FILE_UNREADABLE', /ELOOP/, /loop/),
    );
  });

  it('are not listed if an index places them outside of its folder', async () => {
    await writeFile(join(folder, 'outside.safetensors'), good('secret'));
    folder = join(folder, 'inner');
    await mkdir(folder);
    await writeFile(join(folder, 'a.safetensors'), good('a'));
    await index({ a: 'a.safetensors', secret: '../outside.safetensors' });
    expect(await listCheckpointFiles(folder)).toEqual([join(folder, 'a.safetensors')]);
    folder = join(folder, '..');
  });
});

describe('headers', () => {
  it('without tensors are not a checkpoint', async () => {
    await writeFile(join(folder, 'model.safetensors'), encodeSafetensorsHeader([], { format: 'pt' }));
    await expect(readCheckpoint(folder)).rejects.toMatchObject(failsWith('CE_CHECKPOINT_EMPTY', /has no tensors/));
  });

  it('may have null for __metadata__', () => {
    const json = '{"__metadata__":null,"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}';
    const bytes = Buffer.alloc(8 + json.length);
    bytes.writeBigUInt64LE(BigInt(json.length));
    bytes.write(json, 8);
    const { tensors, metadata } = parseSafetensorsHeader(bytes, { path: 'x', fileSizeBytes: bytes.length + 1 });
    expect(tensors).toMatchObject([{ name: 'a' }]);
    expect({ ...metadata }).toEqual({});
  });

  it.each([
    [
      'dimensions',
      `{"a":{"dtype":"U8","shape":[${'1,'.repeat(20_000_000)}1],"data_offsets":[0,1]}}`,
      /more than 64 numbers/,
    ],
    [
      'keys',
      `{"__metadata__":{${Array.from({ length: 1_500_000 }, (_, i) => `"${i}":""`)}}}`,
      /more than 1000000 keys/,
    ],
  ])('with millions of %s take little memory', (_, json, message) => {
    const bytes = Buffer.alloc(8 + json.length);
    bytes.writeBigUInt64LE(BigInt(json.length));
    bytes.write(json, 8);
    const before = process.memoryUsage().heapUsed;
    expect(() => parseSafetensorsHeader(bytes, { path: 'x', fileSizeBytes: bytes.length })).toThrow(message);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(512 * 2 ** 20);
  });
});
