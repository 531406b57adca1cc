// Files that change while a device has them mapped.
import { mkdtempSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import type { Memory, MemoryRange } from '@checkpoint-engine/interface';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const MIB = 2 ** 20;

let device: HostDevice;
let folder: string;
let path: string;
const bytes = new Uint8Array(5 * MIB + 3).map((_, index) => index * 7);
beforeAll(async () => {
  device = await createHostDevice();
});
afterAll(() => device.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ce-mapped-'));
  path = join(folder, 'weights');
  writeFileSync(path, bytes);
});
afterEach(() => rmSync(folder, { recursive: true }));

const range = (memory: Memory, offsetBytes = 0, sizeBytes = memory.sizeBytes): MemoryRange => ({
  memory,
  offsetBytes,
  sizeBytes,
});

describe('a mapped file', () => {
  it('is copied byte for byte, even from odd offsets and after its name is gone', async () => {
    using mapped = await device.mapFile(path);
    rmSync(path);
    using target = await device.allocate(bytes.length);
    const stream = device.createStream('copy');
    await stream.copy([{ from: range(mapped), to: range(target) }]);
    expect(Buffer.compare(target.view(0, bytes.length), bytes)).toBe(0);
    await stream.copy([{ from: range(mapped, 4097, 3 * MIB), to: range(target, 11, 3 * MIB) }]);
    expect(Buffer.compare(target.view(11, 3 * MIB), bytes.subarray(4097, 4097 + 3 * MIB))).toBe(0);
    await stream.close();
  });

  it.each([0, 1, 4096, 3 * MIB])('fails copies of the missing part after it was cut to %i bytes', async (sizeBytes) => {
    using mapped = await device.mapFile(path);
    truncateSync(path, sizeBytes);
    using target = await device.allocate(bytes.length);
    const stream = device.createStream('copy');
    const copy = (offsetBytes: number, size: number) =>
      stream.copy([{ from: range(mapped, offsetBytes, size), to: range(target, 0, size) }]);
    const error = { code: 'CE_FILE_CHANGED', file: path, message: expect.stringContaining(`has ${sizeBytes}`) };
    await expect(copy(0, bytes.length)).rejects.toMatchObject(error);
    await expect(copy(sizeBytes, 1)).rejects.toMatchObject(error);
    // The stream continues, and the remaining part can be read.
    if (sizeBytes > 0) await copy(0, sizeBytes);
    expect(Buffer.compare(target.view(0, sizeBytes), bytes.subarray(0, sizeBytes))).toBe(0);
    await stream.close();
  });

  it('returns the current state of its file, even if another file has the name', async () => {
    using mapped = await device.mapFile(path);
    const { dev, ino, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    const state = {
      device: dev,
      inode: ino,
      sizeBytes: bytes.length,
      modifiedNs: mtimeNs,
      changedNs: ctimeNs,
      links: 1,
    };
    expect(await mapped.fileState()).toEqual(state);
    writeFileSync(join(folder, 'next'), 'other');
    renameSync(join(folder, 'next'), path);
    expect(await mapped.fileState()).toEqual({ ...state, changedNs: expect.any(BigInt), links: 0 });
  });
});
