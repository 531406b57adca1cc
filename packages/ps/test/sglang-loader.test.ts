// SGLang's own loader of DeepSeek models, fed bucket by bucket through protocol v1: it keeps halves of fused parameters
// only for one call. Two ranks, and the Python tool's own worker at each.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { type EngineRequest, openStore, ParameterServer } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { overHostMemory } from './v1-host-memory.ts';
import { fetchedPackages, python, reasonToSkip, reasonToSkipSources, scriptPath } from './v1-python.ts';

// Python searches the packages of tools/python/make-engines.sh first.
const fetched = [...fetchedPackages('sglang'), ...fetchedPackages('checkpoint-engine')].filter(({ version }) =>
  ['0.5.23', '0.4.2'].includes(version),
);
env.PYTHONPATH = [...fetched.map(({ folder }) => folder), env.PYTHONPATH].filter(Boolean).join(':');
const reason = reasonToSkip('torch', 'zmq', 'safetensors', 'checkpoint_engine.worker') ?? reasonToSkipSources('sglang');
const RANKS = 2;
const folder = mkdtempSync(join(tmpdir(), 'ce-sglang-'));
const open: (() => Promise<void>)[] = [];

afterEach(endWorld);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly calls: number;
  readonly tensors: number;
  readonly wanted: number;
  readonly differences: readonly string[];
  readonly differencesApart: number;
  /** For a loader that keeps views of a weight until its scale arrives, in any call. */
  readonly keptPairs: number;
  readonly keptWrong: number;
}

/** Receives at one address; resolves with what it prints at the end. */
function receive(address: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, [scriptPath('sglang-loader.py'), 'receive', address, ...args]);
    let [text, trouble] = ['', ''];
    child.stdout.on('data', (chunk) => {
      text += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      trouble += String(chunk);
    });
    child.once('close', (code) => {
      const line = text.trim().split('\n').at(-1)!;
      if (code === 0) resolve(JSON.parse(line) as Outcome);
      else reject(new Error(`the worker ended with ${code}: ${trouble.slice(-2000)}`));
    });
  });
}

async function startWorld(): Promise<ParameterServer[]> {
  const port = await freePort();
  return await Promise.all(
    Array.from({ length: RANKS }, async (_, rank) => {
      const store = await openStore({ rank, worldSize: RANKS, masterAddr: '127.0.0.1', masterPort: port });
      const device = await createHostDevice({ index: rank });
      const broadcast = shm();
      const server = await ParameterServer.create({ store, device, broadcast, protocol: overHostMemory });
      open.push(async () => {
        await server.close();
        await broadcast.close();
        await store.close();
        await device.close();
      });
      return server;
    }),
  );
}

async function endWorld(): Promise<void> {
  await Promise.all(open.splice(0).map((close) => close()));
}

describe.skipIf(reason)(`SGLang's loader of DeepSeek models${reason ? ` (skipped: ${reason})` : ''}`, () => {
  const cases = ['deepseek-v3', 'deepseek-v3.2', 'kimi-k2'].flatMap((kind) =>
    ['fp8', 'bf16'].map((dtype) => ({ kind, dtype, way: kind === 'deepseek-v3' ? 'stream' : 'pool' })),
  );

  it.each(cases)(
    'ends with the parameters of one load of everything: $kind, $dtype, $way',
    async (one) => {
      const { kind, dtype, way } = one;
      const path = join(folder, `${kind}-${dtype}`);
      const args = [path, kind, dtype];
      const made = spawnSync(python, [scriptPath('sglang-loader.py'), 'make', ...args], { encoding: 'utf8' });
      expect(made.stderr + made.status).toMatch(/0$/);
      const servers = await startWorld();
      const outcomes: Promise<Outcome>[] = [];
      const results = await Promise.all(
        servers.map(async (server) => {
          const source = way === 'pool' ? { files: path } : { files: path, stream: true };
          await server.registerCheckpoint('c', source);
          await server.gatherMetas('c');
          return await server.update('c', {
            bucketBytes: 256 * 1024,
            inferenceParallelSize: RANKS,
            requestEngine: async ({ handles }: EngineRequest) => {
              outcomes.push(...Object.values(handles).map((address) => receive(address, args)));
              await Promise.all(outcomes);
            },
          });
        }),
      );
      const received = await Promise.all(outcomes);
      expect(received).toHaveLength(RANKS);
      for (const { calls, tensors, wanted, differences, differencesApart } of received) {
        expect(differences).toEqual([]);
        expect(tensors).toBe(wanted);
        expect(calls).toBe(results[0]!.bucketCount);
        expect(calls).toBeGreaterThan(10);
        // Proves that this loader drops halves that arrive in separate calls.
        expect(differencesApart).toBeGreaterThan(0);
      }
    },
    120_000,
  );
});
