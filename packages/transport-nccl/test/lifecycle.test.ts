// The exit of processes that still have communicators, on a fake driver and a fake NCCL.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { buildFakes, noCompiler } from './fakes.ts';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
/** Two ranks in one process, joined; `send(rank)` broadcasts rank 0's bytes. */
const prelude = `
  import process from 'node:process';
  import { createCudaDevice } from '@checkpoint-engine/device';
  import { hubLink, StoreHub, TestStore } from '@checkpoint-engine/transport-compliance';
  import { nccl } from '@checkpoint-engine/transport-nccl';
  const hub = new StoreHub();
  const ranks = await Promise.all([0, 1].map(async (rank) => {
    const device = await createCudaDevice({ index: rank });
    const store = new TestStore(hubLink(hub, rank), rank, 2);
    const transport = nccl();
    return { device, store, transport, target: await device.allocate(1 << 20) };
  }));
  const groups = await Promise.all(ranks.map(({ transport, store, device }) => transport.join({ store: store.epoch('g'), device })));
  const send = (rank) => groups[rank].broadcast(0, { target: { memory: ranks[rank].target, offsetBytes: 0, sizeBytes: 1 << 20 } });
  const closeAll = () => Promise.all(ranks.map(async ({ transport, device, store }) => {
    await transport.close();
    await device.close();
    await store.close();
  }));
`;

describe.skipIf(noCompiler !== '')(`a process with communicators${noCompiler && ` (skipped: ${noCompiler})`}`, () => {
  const env = noCompiler === '' ? buildFakes() : {};
  const run = (code: string, more: Record<string, string> = {}) => {
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', prelude + code],
      { cwd: packageFolder, env: { ...process.env, ...env, ...more }, encoding: 'utf8', timeout: 50_000 },
    );
    return { status, signal, output: stdout.trim(), errors: stderr.trim() };
  };
  const quiet = (output: string) => ({ status: 0, signal: null, output, errors: '' });

  it('ends when everything is closed', () => {
    const end = run(`await Promise.all([send(0), send(1)]); await closeAll(); console.log('closed');`);
    expect(end).toMatchObject(quiet('closed'));
  });

  it('ends with a group that is still open', () => {
    expect(run(`await Promise.all([send(0), send(1)]); console.log('left open');`)).toMatchObject(quiet('left open'));
  });

  it('exits during a collective', () => {
    const end = run(`send(1).catch(() => {}); setTimeout(() => { console.log('exit'); process.exit(0); }, 200);`);
    expect(end).toMatchObject(quiet('exit'));
  });

  it('may end a worker thread during a collective', () => {
    const file = join(packageFolder, 'build', 'lifecycle-worker.mjs');
    const sending = `send(1).catch(() => {}); setTimeout(() => parentPort.postMessage('sent'), 100);`;
    writeFileSync(file, `import { parentPort } from 'node:worker_threads'; ${prelude} ${sending}`);
    const end = run(`
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      const worker = new Worker(${JSON.stringify(file)}, { execArgv: [] });
      await once(worker, 'message');
      await worker.terminate();
      await Promise.all([send(0), send(1)]);
      await closeAll();
      console.log('ended');
    `);
    expect(end).toMatchObject(quiet('ended'));
  });

  it.each(['cuEventCreate', 'cuEventRecord'])('rejects a broadcast when %s fails, and closes', (symbol) => {
    const code = `
      const outcomes = [send(0), send(1)];
      // The call that fails belongs to either rank, and the other one may have finished before it.
      console.log(await Promise.any(outcomes.map((sent) => sent.then(() => Promise.reject(new Error('fine')), (error) => error.code))));
      for (const group of groups) group.abort(new Error('enough'));
      await Promise.allSettled(outcomes);
      await closeAll();
      console.log('closed');
    `;
    const end = run(code, { FAKE_CUDA_FAIL: `${symbol}:1:2` });
    expect(end).toMatchObject(quiet('CE_DEVICE_FAILED\nclosed'));
  });

  it('names the invalid argument', () => {
    const end = run(`
      import { createRequire } from 'node:module';
      const file = new URL('prebuilds/' + process.platform + '-' + process.arch + '/ce_nccl.node', 'file://' + process.cwd() + '/');
      const addon = createRequire(file)(file.pathname);
      const candidates = [process.env.CHECKPOINT_ENGINE_NCCL_LIB];
      for (const args of [[0, 1.5, 2], [0, '1', 2], [0, 1, 2 ** 40]]) {
        try {
          addon.join(candidates, ...args, new Uint8Array(128), 1000);
        } catch (error) {
          console.log(error.message);
        }
      }
      await closeAll();
    `);
    expect(end.output.split('\n')).toEqual([
      'rank must be a whole number from 0 to 2147483647: 1.5',
      'rank must be a number',
      'size must be a whole number from 0 to 2147483647: 1099511627776',
    ]);
  });

  it('closes while a peer is gone, and a second close and an abort change nothing', () => {
    const end = run(`
      const pending = send(1).catch((error) => error.message);
      groups[0].abort(new Error('enough'));
      console.log(await pending);
      await Promise.all([groups[0].close(), groups[1].close(), groups[0].close()]);
      groups[0].abort(new Error('again'));
      console.log(await send(0).catch((error) => error.message));
      await closeAll();
    `);
    expect(end).toMatchObject(quiet('enough\nenough'));
  });
});
