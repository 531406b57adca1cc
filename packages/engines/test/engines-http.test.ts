// Our clients against the HTTP layers of the engines whose Python packages are installed. The routes, request models
// and authentication are those of the engines (see engines-http.py).

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { python } from '../../../tools/test/python.ts';
import { createEngineClient, type EngineName, type EngineUpdate } from '../src/index.ts';

const handles = { 'GPU-a': 'ipc://@a.sock', 'GPU-b': 'ipc://@b.sock' };
const update: EngineUpdate = { signal: new AbortController().signal, timeoutMs: 30_000, handles, weightVersion: 'v7' };
const broken: EngineUpdate = { ...update, handles: { ...handles, 'GPU-broken': 'ipc://@c.sock' } };
const rpc = { call: 'collective_rpc', method: 'update_weights_from_ipc', timeout: 30, kwargs: {} };
const ipc = { call: 'update_weights_from_ipc', flush_cache: true, weight_version: 'v7', torch_empty_cache: false };

interface Expected {
  /** The calls of the routes to the engine for a successful update. */
  readonly calls: readonly object[];
  /** Their answers to a failed update. */
  readonly failure: object;
  /** Their answers to a wrong key; vLLM guards only other routes. */
  readonly refused?: object;
}

const engines: Partial<Record<EngineName, Expected>> = {
  vllm: {
    calls: [
      { call: 'check_health' },
      { ...rpc, args: [handles] },
      { call: 'reset_prefix_cache' },
      { call: 'update_weight_version', version: 'v7' },
    ],
    failure: { status: 500 },
  },
  sglang: {
    calls: [{ ...ipc, zmq_handles: handles }],
    failure: { status: 400, message: expect.stringContaining('planted: no such tensor') },
    refused: { status: 401 },
  },
  lmdeploy: {
    calls: [
      { call: 'sleep', level: 2 },
      { call: 'wakeup', tags: ['weights'] },
      {
        call: 'update_weights_from_ipc',
        handles: { 'GPU-b': handles['GPU-b'], 'GPU-a': handles['GPU-a'] },
        rejected: null,
      },
      { call: 'wakeup', tags: ['kv_cache'] },
    ],
    // The pre-flight detects that the device does not exist.
    failure: { code: 'CE_ENGINE_MISMATCH' },
    refused: { status: 401 },
  },
};

/** Why an engine's package cannot be run. Nothing heavy of it is loaded. */
function reasonToSkip(engine: string): string | undefined {
  const code = `import fastapi, uvicorn, importlib.util as u, sys; sys.exit(0 if u.find_spec('${engine}') else 3)`;
  const { status } = spawnSync(python, ['-c', code]);
  if (status === 0) return undefined;
  const reason = status === 3 ? `${python} has no package ${engine}` : `${python} has no fastapi or uvicorn`;
  console.warn(`skipped: ${reason}`);
  return reason;
}

describe.each(Object.entries(engines))('%s', (name, { calls, failure, refused }) => {
  const reason = reasonToSkip(name);
  let child: ChildProcess;
  let url: string;
  const seen: object[] = [];
  const client = (apiKey: string) => createEngineClient(name, { endpoints: [{ url }], apiKey });

  beforeAll(async () => {
    if (reason) return;
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    child = spawn(
      python,
      ['-W', 'ignore', fileURLToPath(new URL('engines-http.py', import.meta.url)), name, `${port}`, 'sesame'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    createInterface({ input: child.stdout! }).on('line', (line) => seen.push(JSON.parse(line) as object));
  });

  afterAll(async () => {
    if (reason || child.exitCode !== null) return;
    child.kill();
    await once(child, 'exit');
  });

  it.skipIf(reason)('accepts the requests of its client, in their order', async () => {
    const engine = client('sesame');
    await engine.ready(update);
    await engine.preflight!(update);
    await engine.update(update);
    // The output may arrive after the answer.
    await expect.poll(() => seen).toEqual(calls);
  });

  it.skipIf(reason)('reports why it failed', async () => {
    const failed = client('sesame').update(broken);
    await expect(failed).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED', ...failure });
  });

  it.skipIf(reason ?? (refused ? undefined : 'no key is required'))('refuses a wrong key', async () => {
    const failed = client('wrong').update(update);
    await expect(failed).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED', ...refused });
  });
});
