import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInputFile } from './read-input-file.ts';

let folder: string;
let fifo: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'read-input-'));
  fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
});
afterAll(() => rm(folder, { recursive: true }));

describe('readInputFile', () => {
  it('reads a file', async () => {
    const path = join(folder, 'file');
    await writeFile(path, 'text');
    expect(String.fromCharCode(...(await readInputFile(path)))).toBe('text');
    await expect(readInputFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(readInputFile(folder)).rejects.toMatchObject({ code: 'EISDIR' });
  });

  it('does not read a device without an end', async () => {
    await expect(readInputFile('/dev/zero')).rejects.toThrow('it is a device, expected a file');
  });

  it('reads a FIFO up to its end, within a time limit', async () => {
    const late = 'it is a FIFO whose writer sent nothing for 50 ms';
    await expect(readInputFile(fifo, 50)).rejects.toThrow(late);
    const writer = await open(fifo, 'r+');
    await expect(readInputFile(fifo, 50)).rejects.toThrow(late);
    const reading = readInputFile(fifo);
    await writer.writeFile('x'.repeat(1000));
    await writer.close();
    expect(await reading).toHaveLength(1000);
  });
});
