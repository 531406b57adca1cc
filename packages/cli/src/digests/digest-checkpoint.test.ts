import { appendFileSync } from 'node:fs';
import { appendFile, mkdtemp, open, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestBytes } from '@checkpoint-engine/interface';
import { encodeSafetensorsHeader, readCheckpoint, tensorDigests } from '@checkpoint-engine/meta';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestCheckpoint } from './digest-checkpoint.ts';

const MIB = 2 ** 20;
const options = { name: 'a', sha256: true, signal: new AbortController().signal };
let folder: string;
let path: string;
const bytes = new Uint8Array(19 * MIB + 3).map((_, at) => Math.imul(at + 1, 2654435761) >>> 24);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-digests-'));
  path = join(folder, 'a.safetensors');
  const shapes = [1, 0, 17 * MIB, 2 * MIB + 2];
  const tensors = shapes.map((sizeBytes, at) => ({
    name: `t${at}`,
    dtype: 'U8' as const,
    shape: [sizeBytes],
    sizeBytes,
  }));
  await writeFile(path, new Uint8Array([...encodeSafetensorsHeader(tensors)]));
  await appendFile(path, bytes);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('digestCheckpoint', () => {
  it('digests tensors that span chunks and blocks', async () => {
    const { metas } = await digestCheckpoint(await readCheckpoint(path), options);
    let at = 0;
    const wanted = metas.tensors.map(({ sizeBytes }) => {
      at += sizeBytes;
      return digestBytes(bytes.subarray(at - sizeBytes, at));
    });
    expect(tensorDigests(metas)).toEqual(wanted);
  });

  it('finds a file that was written to after its header was read, even if its time stamp was restored', async () => {
    const checkpoint = await readCheckpoint(path);
    const [file] = checkpoint.files;
    const handle = await open(path, 'r+');
    await handle.write(Uint8Array.of(1), 0, 1, file!.sizeBytes - 1);
    await handle.close();
    const seconds = Number(file!.state.modifiedNs) / 1e9;
    await utimes(path, seconds, seconds);
    await expect(digestCheckpoint(checkpoint, options)).rejects.toMatchObject({ code: 'CE_FILE_CHANGED', file: path });
  });

  it('finds a file that changes while it is read', async () => {
    const checkpoint = await readCheckpoint(path);
    const onProgress = (): void => appendFileSync(path, 'x');
    await expect(digestCheckpoint(checkpoint, { ...options, onProgress })).rejects.toMatchObject({
      code: 'CE_FILE_CHANGED',
    });
  });
});
