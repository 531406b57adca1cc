import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listenAtSocket } from './unix-socket.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unix-socket-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('a path that is not a socket is refused, and stays', async () => {
  const [file, fifo] = [join(folder, 'file'), join(folder, 'fifo')];
  await writeFile(file, 'kept');
  execFileSync('mkfifo', [fifo]);
  for (const path of [file, fifo, folder]) {
    await expect(listenAtSocket(createServer(), path)).rejects.toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
      message: `Cannot listen on "${path}": it exists and is not a socket`,
    });
  }
  expect(await readFile(file, 'utf8')).toBe('kept');
});
