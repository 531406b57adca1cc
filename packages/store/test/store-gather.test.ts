import { type ChildProcess, spawn } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { connectStore, startStoreServer } from '@checkpoint-engine/store';
import { expect, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('store-gather.mjs', import.meta.url));
const WORLD = 64;

test.each([
  // More than a piece of the wire (512 KiB), so that values are put together again.
  { sizeBytes: 600_000, token: undefined },
  { sizeBytes: 100_000, token: 'secret' },
])('64 ranks gather $sizeBytes bytes each, token $token', { timeout: 180_000 }, async ({ sizeBytes, token }) => {
  const server = await startStoreServer({ port: 0, worldSize: WORLD, token });
  const { address } = server;
  const children: ChildProcess[] = [];
  const groups = 3;
  for (let group = 0; group < groups; group++) {
    const count = (WORLD - 1) / groups;
    const options = {
      first: 1 + group * count,
      count,
      worldSize: WORLD,
      sizeBytes,
      rounds: 1,
      address,
      token,
    };
    children.push(spawn(process.execPath, [SCRIPT, JSON.stringify(options)], { stdio: 'inherit' }));
  }
  const exits = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  const zero = await connectStore({ address, rank: 0, worldSize: WORLD, token, timeoutMs: 120_000 });
  await zero.barrier('start');
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startedAt = performance.now();
  const values = await zero.allGather('metas', new Uint8Array(sizeBytes));
  expect(values.map((value) => value.at(-1))).toEqual(Array.from({ length: WORLD }, (_, rank) => rank));
  await zero.barrier('end');
  const tookMs = performance.now() - startedAt;
  delay.disable();
  const gigabytes = (WORLD * WORLD * sizeBytes) / 1e9;
  console.log(
    `${WORLD} ranks gathered ${sizeBytes} B each${token ? ', encrypted' : ''}: ${Math.round(tookMs)} ms ` +
      `(${((gigabytes / tookMs) * 1e3).toFixed(2)} GB/s from the server), ` +
      `longest turn of the server's event loop ${Math.round(delay.max / 1e6)} ms`,
  );
  await zero.close();
  await server.close();
  expect(await Promise.all(exits)).toEqual(children.map(() => 0));
});
