// The Python tool's own routes and models, sent to each rank's socket of `serve --rank-uds`, and answers compared with
// those of the tool's own server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { kill } from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { python, pythonTool } from '../../../tools/test/python.ts';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { rankProcesses } from './processes.ts';
import { startServer, type TestServer } from './serve-process.ts';
import { startSilentEngine } from './silent-engine.ts';

interface Reply {
  readonly status: number;
  readonly body: string;
}

const { reason, env } = pythonTool();
const script = fileURLToPath(new URL('python-tool-ranks.py', import.meta.url));
const FILES = '/v1/checkpoints/{checkpoint_name}/files';
const GATHER = '/v1/checkpoints/{checkpoint_name}/gather-metas';
const UPDATE = '/v1/checkpoints/{checkpoint_name}/update';
const CHECKPOINT = '/v1/checkpoints/{checkpoint_name}';
const DONE = { status: 200, body: '' };

describe.skipIf(reason)(`serve --rank-uds${reason ? ` (skipped: ${reason})` : ''}`, async () => {
  const { folder, remove } = await temporaryFolder();
  const engines = [0, 1].map((rank) => join(folder, `engine-${rank}.sock`));
  let [files, wanted]: [string[], Map<string, string>] = [[], new Map()];
  let [holder, joiner]: (TestServer | undefined)[] = [];
  let workers: TestWorker[] = [];
  let child: ReturnType<typeof spawn>;
  let lines: AsyncIterator<string>;

  const ask = async <T>(command: object): Promise<T> => {
    child.stdin!.write(`${JSON.stringify(command)}\n`);
    return JSON.parse((await lines.next()).value as string) as T;
  };
  /** Bodies by rank: fields of the tool's model, which writes its defaults. */
  const send = (method: string, template: string, bodies: object, options: object = {}) =>
    ask<Reply[]>({ kind: 'send', world: 'rank', name: 'step-1', method, template, bodies, ...options });
  const tool = (method: string, path: string, error: string | null, body: unknown) =>
    ask<Reply>({ kind: 'tool', method, path, error, body });
  const toEngine = (rank: number, more: object = {}) => ({
    ...{ update_url: 'http://localhost/update', uds: engines[rank], inference_group_ranks: [rank], ...more },
  });
  const digests = () => Promise.all(workers.map((worker) => worker.digests()));
  const instances = async (server: TestServer) =>
    (await server.call('GET', '/v1/instances')).json<{ instances: { endpoint: string; state: string }[] }>().instances;

  beforeAll(async () => {
    const checkpoint = await smallCheckpoint(join(folder, 'step-1'));
    files = (await readdir(checkpoint)).filter((name) => name.endsWith('.safetensors')).map((n) => join(checkpoint, n));
    wanted = await tensorDigests(checkpoint);
    const serve = (name: string) => {
      const rankUds = ['--rank-uds', join(folder, `${name}-{rank}.sock`), '--uds', join(folder, `${name}.sock`)];
      return startServer(['--nproc-per-node', '2', ...rankUds, '--engine', 'worker', '--p2p', 'shm']);
    };
    [holder, joiner] = await Promise.all([serve('rank'), serve('join')]);
    workers = await Promise.all(engines.map((socket, rank) => startTestWorker(rank, socket)));
    child = spawn(python, [script, folder, ...engines], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  });

  afterAll(async () => {
    child.stdin!.end();
    if (child.exitCode === null) await once(child, 'exit');
    for (const server of [holder, joiner]) {
      server?.running.child.kill('SIGTERM');
      expect((await server?.running.result)?.code).toBe(0);
    }
    await Promise.all(workers.map((worker) => worker.close()));
    expect((await readdir(folder)).filter((name) => name.endsWith('.sock'))).toEqual([]);
    await remove();
  });

  it("answers errors like the Python tool's server", async () => {
    expect(await tool('POST', '/v1/checkpoints/x/gather-metas', null, null)).toEqual(DONE);
    const cases = [
      ['POST', FILES, { files: ['/nowhere/model.safetensors'] }, 500],
      ['POST', FILES, {}, 422],
      ['POST', FILES, { files: 'x' }, 422],
      ['POST', UPDATE, { ranks: ['x'] }, 422],
      ['POST', UPDATE, null, 422],
      ['POST', UPDATE, [1], 422],
      ['GET', UPDATE, null, 405],
      ['GET', '/v1/nothing', null, 404],
      ['POST', '/v1/metas', { '0': { p2p_store_addr: null, memory_buffer_metas_list: [], rdma_device: '' } }, 500],
      ['POST', '/v1/metas', { x: 1 }, 422],
    ] as const;
    for (const [method, template, body, status] of cases) {
      const path = template.replace('{checkpoint_name}', 'step-1');
      const [own] = await send(method, template, { 0: body }, { raw: true });
      const theirs = await tool(method, path, 'What the tool says', body);
      expect([path, own?.status, theirs.status]).toEqual([path, status, status]);
      const [mine, other] = [own!, theirs].map((reply) => JSON.parse(reply.body) as unknown);
      const shape = (value: unknown) => (typeof value === 'object' ? Object.keys(value!) : typeof value);
      expect(shape(mine)).toEqual(shape(other));
      if (status === 422) {
        const loc = (value: unknown) => (value as { detail: { loc: unknown[] }[] }).detail[0]!.loc;
        expect(loc(mine).slice(0, 1)).toEqual(loc(other).slice(0, 1));
      }
    }
    const [missing] = await send('POST', FILES, { 0: { files: ['/nowhere/model.safetensors'] } }, { raw: true });
    expect(JSON.parse(missing!.body)).toMatch(/\/nowhere\/model\.safetensors.*\(CE_FILE_NOT_FOUND\)$/);
    expect((await holder!.call('GET', '/v1/checkpoints')).json()).toEqual({ checkpoints: [] });
  });

  it('registers only the files that each rank is sent', async () => {
    expect(await send('GET', '/v1/healthz', { 0: null, 1: null })).toEqual([DONE, DONE]);
    expect(await send('GET', '/v1/metas', { 0: null })).toEqual([{ status: 200, body: '{}' }]);
    expect(await send('POST', FILES, { 0: { files: files.slice(0, 3) }, 1: { files: files.slice(3) } })).toEqual([
      DONE,
      DONE,
    ]);
    const view = (await holder!.call('GET', '/v1/checkpoints/step-1')).json<{
      tensor_count: number;
      files: string[];
      ranks: { tensor_count: number }[];
    }>();
    expect(view.tensor_count).toBe(wanted.size);
    expect([...view.files].sort()).toEqual([...files].sort());
    expect(view.ranks.every((rank) => rank.tensor_count > 0)).toBe(true);
    const [again] = await send('POST', FILES, { 1: { files } });
    expect(again).toMatchObject({ status: 500, body: expect.stringContaining('CE_CHECKPOINT_EXISTS') });
  });

  it('updates the engines that the ranks specify, each with the addresses of its ranks', async () => {
    expect(await send('POST', GATHER, { 0: null, 1: null })).toEqual([DONE, DONE]);
    expect(await send('POST', UPDATE, { 0: toEngine(0), 1: toEngine(1) })).toEqual([DONE, DONE]);
    expect(await digests()).toEqual([wanted, wanted]);
    expect((await instances(holder!)).map(({ endpoint, state }) => [endpoint, state])).toEqual(
      engines.map((endpoint) => [endpoint, 'current']),
    );
  });

  it('sends no request for a rank without update_url', async () => {
    // Rank 1 only sends, and the engine of rank 0 receives only the address of rank 0.
    const url = toEngine(0, { ranks: [0] });
    expect(await send('POST', UPDATE, { 0: url, 1: { ranks: [0], update_url: null } })).toEqual([DONE, DONE]);
    expect((await digests())[0]).toEqual(wanted);
    const withoutEngines = await send('POST', UPDATE, { 0: {}, 1: { update_url: null } });
    for (const reply of withoutEngines) {
      expect(reply.status).toBe(500);
      expect(JSON.parse(reply.body)).toMatch(/^No engine receives the addresses of ranks \[0, 1\].*CE_REQUEST_INVALID/);
    }
  });

  it('refuses ranks that were asked for different things', async () => {
    for (const [first, second, text] of [
      [toEngine(0, { ranks: [0] }), toEngine(1, { ranks: [1] }), 'Send the same'],
      [toEngine(0, { ranks: [7] }), { ranks: [7] }, 'rank 7'],
      [toEngine(0, { inference_group_ranks: [3] }), toEngine(1), 'does not receive'],
      [toEngine(0, { update_url: 'nowhere' }), toEngine(1), 'nowhere'],
    ] as const) {
      const replies = await send('POST', UPDATE, { 0: first, 1: second });
      for (const reply of replies) expect([reply.status, reply.body]).toEqual([500, expect.stringContaining(text)]);
    }
  });

  it('ends an update whose engine does not answer within timeout, on all ranks', async () => {
    const silent = await startSilentEngine(join(folder, 'silent.sock'));
    const url = { update_url: 'http://localhost/update', uds: join(folder, 'silent.sock'), inference_group_ranks: [1] };
    const replies = await send('POST', UPDATE, { 0: toEngine(0), 1: { ...url, timeout: 1 } });
    for (const reply of replies) {
      expect([reply.status, reply.body]).toEqual([500, expect.stringMatching(/^".*within 1000 ms.*\(CE_TIMEOUT\)"$/)]);
    }
    await silent.givenUp;
    silent.close();
    expect(await send('POST', UPDATE, { 0: toEngine(0), 1: toEngine(1) })).toEqual([DONE, DONE]);
    expect(await digests()).toEqual([wanted, wanted]);
  });

  it('passes on metas that the models of the Python tool have read and written', async () => {
    const other = { world: 'join' };
    expect(await send('POST', GATHER, { 0: null, 1: null }, other)).toEqual([DONE, DONE]);
    const copied = await ask<{ ranks: Record<string, string[]>; dtypes: string[]; same: boolean; taken: Reply[] }>({
      ...{ kind: 'copy', source: 'rank', target: 'join' },
    });
    expect(copied.taken).toEqual([DONE, DONE]);
    expect(copied.same).toBe(true);
    expect(copied.dtypes).toEqual(expect.arrayContaining(['torch.bfloat16']));
    expect(Object.values(copied.ranks).flat().sort()).toEqual([...wanted.keys()].sort());
    // In the joining world the checkpoint may have another name.
    const bodies = { 0: toEngine(0, { ranks: [0, 1] }), 1: toEngine(1, { ranks: [0, 1] }) };
    expect(await send('POST', UPDATE, bodies, { ...other, name: 'joined' })).toEqual([DONE, DONE]);
    expect(await digests()).toEqual([wanted, wanted]);
  });

  it('registers again after a delete, even if one rank holds nothing', async () => {
    expect(await send('DELETE', CHECKPOINT, { 0: null, 1: null })).toEqual([DONE, DONE]);
    expect(await send('DELETE', CHECKPOINT, { 0: null, 1: null })).toEqual([DONE, DONE]);
    expect((await holder!.call('GET', '/v1/checkpoints')).json()).toEqual({ checkpoints: [] });
    expect(await send('POST', FILES, { 1: { files } })).toEqual([DONE]);
    expect(await send('POST', GATHER, { 0: null, 1: null })).toEqual([DONE, DONE]);
    expect(await send('POST', UPDATE, { 0: toEngine(0), 1: toEngine(1) })).toEqual([DONE, DONE]);
    expect(await digests()).toEqual([wanted, wanted]);
  });

  it("restores a rank's own files after it died", async () => {
    const ranks = async () =>
      (await holder!.call('GET', '/v1/readyz')).json<{ ranks: { restarts: number; state: string }[] }>().ranks;
    kill(rankProcesses(holder!.running.child.pid!).get(1)!, 'SIGKILL');
    await expect.poll(async () => (await ranks())[1]).toMatchObject({ restarts: 1, state: 'ready' });
    expect(await send('POST', UPDATE, { 0: toEngine(0), 1: toEngine(1) })).toEqual([DONE, DONE]);
    expect(await digests()).toEqual([wanted, wanted]);
  });
});
