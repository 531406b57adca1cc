import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { identifySocket, isSameMachine } from './local-socket.ts';
import { bindPrivately } from './private-address.ts';

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of open.splice(0).reverse()) each.close();
});

async function listening(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  open.push(server);
}

test('a socket is the same one under each of its paths, and no other file is', async () => {
  const address = await bindPrivately(listening);
  open.push(address);
  const { path, file } = address.local!;
  expect(path).not.toBe(address.path);
  expect(isSameMachine({ path, file })).toBe(true);
  expect(identifySocket(address.path)).toBe(file);

  const other = await bindPrivately(listening);
  open.push(other);
  expect(isSameMachine({ path: other.local!.path, file })).toBe(false);
  // Another machine may have the same numbers, but not the same boot.
  expect(isSameMachine({ path, file: file.replace(/^[^/]+/, '6f1e0d1c-0000-4000-8000-000000000000') })).toBe(false);
});

test('what is not a socket, or is gone, is not one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'local-socket-'));
  open.push({ close: () => rmSync(folder, { recursive: true }) });
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const path of [file, folder, join(folder, 'nothing'), '', '\0', '/proc/self/fd/999999']) {
    expect(identifySocket(path)).toBeUndefined();
  }
  const address = await bindPrivately(listening);
  address.close();
  expect(isSameMachine(address.local!)).toBe(false);
});
