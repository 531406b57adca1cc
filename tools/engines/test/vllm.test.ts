import { once } from 'node:events';
import { createServer } from 'node:net';
import process from 'node:process';
import type { EngineRequest } from '@checkpoint-engine/ps';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allOf, type Engines, findEnvironment, openEngines } from './environment.ts';
import { disturbedUpdate, pullingUpdates, runCommand } from './update.ts';
import { VllmServer } from './vllm-server.ts';

const PROMPTS = [
  [1, 2, 3, 4, 5, 6, 7, 8],
  [42, 1999, 7],
];
const WAYS = [
  {
    way: 'extension',
    kind: 'qwen3',
    flags: ['--worker-extension-cls', 'flip_extension.WorkerExtension'],
    env: { CHECKPOINT_ENGINE_REPRESENTATIVES: '0' },
  },
  {
    way: 'backend',
    kind: 'qwen3-moe',
    flags: ['--weight-transfer-config', '{"backend":"checkpoint_engine"}'],
    // Small models are compared through representatives only on request.
    env: { CHECKPOINT_ENGINE_REPRESENTATIVES: '1' },
  },
] as const;

const found = findEnvironment();
if ('reason' in found) console.warn(`skipped: no environment with vLLM: ${found.reason}`);
if ('reason' in found && process.env.REQUIRE_ENGINES) throw new Error(found.reason);

describe.skipIf('reason' in found).each(WAYS)('vLLM by its $way, $kind', ({ way, kind, flags, env }) => {
  let engines: Engines;
  let server: VllmServer;
  let models: readonly [string, string];
  let answers: readonly [number[][], number[][]];

  const update = (model: string, ...more: string[]) =>
    runCommand(['update', '--device', 'host', '--checkpoint-path', model, '--endpoint', server.url, ...more]);
  const [A, B] = [0, 1] as const;
  const expectModel = async (which: 0 | 1): Promise<void> =>
    expect(await server.tokens(PROMPTS)).toEqual(answers[which]);

  beforeAll(async () => {
    engines = openEngines('folder' in found ? found.folder : '');
    models = [engines.model(kind, 1), engines.model(kind, 2)];
    const starting = VllmServer.start(engines, models[A], flags, env).then((started) => {
      server = started;
      return [];
    });
    const fresh = models.map((model) => engines.freshTokens(model, PROMPTS));
    const [, ofA, ofB] = await allOf([starting, ...fresh]);
    answers = [ofA!, ofB!];
    expect(answers[A]).not.toEqual(answers[B]);
  });
  afterAll(async () => {
    await server?.close();
    engines?.close();
  });

  it('answers like new engines: before, after B, A and B again', async () => {
    await expectModel(A);
    for (const which of [B, A, B] as const) {
      const { status, stderr } = await update(models[which], '--bucket-size', '1MiB');
      expect(stderr).toContain(
        `the ${way === 'backend' ? 'weight-transfer backend' : 'extension'} of checkpoint-engine`,
      );
      expect(status, stderr).toBe(0);
      await expectModel(which);
    }
  });

  it('pauses for an update, and flushes its prefix cache', async () => {
    const { status, stderr } = await update(models[A], '--pause', 'keep', '--weight-version', 'step-7');
    expect(status, stderr).toBe(0);
    await expectModel(A);
    expect(await (await fetch(`${server.url}/is_paused`)).json()).toEqual({ is_paused: false });
    expect(await (await fetch(`${server.url}/weight_info`)).json()).toEqual({ weight_version: 'step-7' });
  });

  it('continues after an update was aborted, and the next one is right', async () => {
    const reason = new Error('the test ends the update');
    const failing = disturbedUpdate({ checkpoint: models[B], url: server.url, disturb: (abort) => abort(reason) });
    await expect(failing).rejects.toMatchObject({ code: 'CE_ABORTED' });
    await expect.poll(() => server.log).toMatch(/weights are unknown/);
    if (way === 'extension') {
      expect(await server.rpc('checkpoint_engine_describe')).toMatchObject([{ weights: 'unknown' }]);
    }
    // A mix of old and new layers still answers.
    expect((await server.tokens(PROMPTS)).flat()).toHaveLength(32);
    const { status, stderr } = await update(models[B]);
    expect(status, stderr).toBe(0);
    await expectModel(B);
  });

  it('pulls what earlier updates have proved, even from another checkpoint', async () => {
    const order = [B, A, B] as const;
    const updates = await pullingUpdates(
      server.url,
      order.map((which) => models[which]),
      (index) => expectModel(order[index]!),
    );
    expect(updates.map(({ pulledBytes }) => pulledBytes > 0)).toEqual([true, true, true]);
  });

  it('is verified without an update: equal to one checkpoint, different from the other, with flipped bits reported', async () => {
    const verify = async (model: string) => {
      const flags = ['--device', 'host', '--checkpoint-path', model, '--endpoint', server.url, '--json'];
      const { status, stdout, stderr } = await runCommand(['verify', ...flags, '--log-level', 'warn']);
      return { ...(JSON.parse(stdout) as { digest?: string; checkedTensors?: number }), status, stderr };
    };
    expect(await update(models[B])).toMatchObject({ status: 0 });
    const equal = await verify(models[B]);
    expect(equal, equal.stderr).toMatchObject({ status: 0, equal: true, differingCount: 0 });
    expect(equal.checkedTensors).toBeGreaterThan(0);
    expect(await verify(models[A])).toMatchObject({
      status: 1,
      equal: false,
      digest: expect.not.stringMatching(`${equal.digest}`),
    });
    await expectModel(B);
    if (way !== 'extension') return;
    // vLLM returns a number of bytes as text.
    expect(await server.rpc('flip_parameter_bits', ['model.norm.weight'])).toEqual(['512']);
    expect(await verify(models[B])).toMatchObject({
      ...{ status: 1, differingCount: 1 },
      differing: [{ rank: 0, tensor: 'model.norm.weight', offsetBytes: 0 }],
    });
    await server.rpc('flip_parameter_bits', ['model.norm.weight']);
    expect(await verify(models[B])).toMatchObject({ status: 0 });
  });

  it('reports how it receives its modules', async () => {
    expect(server.log).toMatch(/\d+ of \d+ modules direct, \d+ staged, 0 opaque: \d+ because the engine/);
    expect(server.log.includes('Proved by representatives')).toBe(way === 'backend');
    const told = await runCommand(['doctor', '--engine', 'vllm', '--endpoint', server.url, '--json']);
    expect(told.status, told.stderr).toBe(0);
    const { engines: asked } = JSON.parse(told.stdout) as { engines: object[] };
    expect(asked).toMatchObject([
      {
        ...{ engine: 'vllm', pulls: true, receiver: expect.stringContaining('checkpoint-engine-worker') },
        workers: [{ weights: 'loaded', pull: 'pulls', modules: { opaque: 0 } }],
      },
    ]);
    expect(asked[0]).not.toHaveProperty('hint');
    if (way !== 'extension') return;
    const [described] = await server.rpc('checkpoint_engine_describe');
    expect(described).toMatchObject({ pull: { recorded: true, proved: true, summary: { opaque: 0, represented: 0 } } });
  });

  it('rejects a server that has another key, or uses another protocol', async () => {
    const wrongKey = ({ handles, ...rest }: EngineRequest): Promise<void> =>
      ask({
        ...rest,
        handles: mapValues(handles, (address) => address.replace(/.$/, (last) => (last === '0' ? '1' : '0'))),
      });
    await expect(disturbedUpdate({ checkpoint: models[A], url: server.url, request: wrongKey })).rejects.toMatchObject({
      message: expect.stringContaining('CE_TOKEN_REFUSED'),
    });
    const foreign = await foreignServer(3);
    const answer = ask({ handles: { [foreign.deviceUuid]: foreign.address }, timeoutMs: 20_000 });
    await expect(answer).rejects.toThrow(/uses protocol 2, the server 3/);
    foreign.close();
    await expectModel(B);
  });

  it('fails at once when a worker is killed', async () => {
    const pid = server.workerPid();
    const failing = disturbedUpdate({
      checkpoint: models[A],
      url: server.url,
      disturb: () => process.kill(pid, 'SIGKILL'),
    });
    await expect(failing).rejects.toMatchObject({ code: expect.stringMatching(/^CE_(WORKER_LOST|ENGINE_FAILED)$/) });
  });

  /** The request of vLLM's client, with addresses of the test. */
  async function ask({ handles, timeoutMs }: Pick<EngineRequest, 'handles' | 'timeoutMs'>): Promise<void> {
    const timeout_s = timeoutMs / 1000;
    if (way === 'extension') {
      await server.rpc('checkpoint_engine_update', [handles, timeout_s]);
      return;
    }
    await server.post('/start_weight_update', {});
    await server.post('/update_weights', { update_info: { handles, timeout_s } });
  }
});

/** A server that accepts any worker and uses another version of the protocol. */
async function foreignServer(protocol: number) {
  const { uuid: deviceUuid, close } = await deviceOfThisHost();
  const name = `ce2-foreign-${process.pid}-`.padEnd(107, 'x');
  const listener = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk: Uint8Array) => {
      expect(new TextDecoder().decode(chunk)).toContain('hello');
      // {"type": "welcome", "protocol": <version>} in MessagePack, after its size.
      const payload = [0x82, ...text('type'), ...text('welcome'), ...text('protocol'), protocol];
      socket.write(Uint8Array.of(payload.length, 0, 0, 0, ...payload));
    });
  }).listen({ path: `\0${name}` });
  await once(listener, 'listening');
  await close();
  return { deviceUuid, address: `ce2:${name}?key=${'ab'.repeat(32)}`, close: () => listener.close() };
}

/** A short text in MessagePack. */
const text = (value: string): number[] => [0xa0 + value.length, ...new TextEncoder().encode(value)];

async function deviceOfThisHost() {
  const { createHostDevice } = await import('@checkpoint-engine/device');
  const device = await createHostDevice();
  return { uuid: device.uuid, close: () => device.close() };
}

function mapValues(
  record: Readonly<Record<string, string>>,
  change: (value: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
