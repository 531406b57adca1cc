import { afterEach, describe, expect, it } from 'vitest';
import { type EngineUpdate, lmdeployEngine } from '../src/index.ts';
import { FakeEngine, keepingLogger, meeting, type Step } from './engines-fake.ts';

const handles = { 'GPU-a': 'ipc://@a.sock', 'GPU-b': 'ipc://@b.sock' };
const update: EngineUpdate = { signal: new AbortController().signal, timeoutMs: 5_000, handles };
const open: FakeEngine[] = [];

async function fake(...steps: Step[]): Promise<FakeEngine> {
  const engine = await FakeEngine.listen(steps, { apiKey: 'sesame' });
  open.push(engine);
  return engine;
}

const client = (engines: FakeEngine[], wakeAfter?: boolean) =>
  lmdeployEngine({ endpoints: engines.map(({ endpoint }) => endpoint), apiKey: 'sesame', wakeAfter });

afterEach(() => {
  for (const engine of open.splice(0)) {
    engine.close();
    engine.check();
  }
});

const path = '/update_weights_from_ipc';
const empty = {
  ready: true,
  message: 'checkpoint-engine IPC receiver is ready.',
  backend: 'pytorch',
  device_type: 'cuda',
  checkpoint_engine_version: '0.4.2',
  is_sleeping: true,
  sleeping_tags: ['kv_cache', 'weights'],
  device_uuids: ['GPU-b', 'GPU-a'],
  worker_ranks: [0, 1],
};
const serving = { ...empty, ready: false, message: 'engine must sleep', is_sleeping: false, sleeping_tags: [] };
const cleared = { ...empty, sleeping_tags: ['kv_cache'] };
const released = { ...empty, ready: false, message: 'weights are asleep' };

const status = (reply: object, before?: Step['before']): Step => ({
  method: 'GET',
  path,
  reply,
  ...(before && { before }),
});
const control = (route: string, before?: Step['before']): Step => ({
  method: 'POST',
  path: route,
  body: {},
  ...(before && { before }),
});
const receive = (zmq_handles: object, before?: Step['before']): Step => ({
  method: 'POST',
  path,
  body: { zmq_handles },
  reply: { success: true, message: 'ok' },
  ...(before && { before }),
});
// In the engine's rank order, not in ours.
const inOrder = { 'GPU-b': 'ipc://@b.sock', 'GPU-a': 'ipc://@a.sock' };

describe('lmdeploy', () => {
  it('is ready while it sleeps, and passes the pre-flight', async () => {
    const engine = client([
      await fake({ method: 'GET', path: '/health', reply: { status: 'sleeping' } }, status(empty)),
    ]);
    await engine.ready(update);
    await engine.preflight!(update);
  });

  it('fills an engine that was started empty, and does not wake it', async () => {
    await client([await fake(status(empty), receive(inOrder))]).update(update);
    await client([await fake(status(empty), receive(inOrder), control('/wakeup?tags=kv_cache'))], true).update(update);
  });

  it('puts a serving engine to sleep, and wakes it afterwards', async () => {
    const steps = [
      status(serving),
      control('/sleep?level=2'),
      control('/wakeup?tags=weights'),
      status(cleared),
      receive(inOrder),
      control('/wakeup?tags=kv_cache'),
    ];
    await client([await fake(...steps)]).update(update);
    await client([await fake(...steps.slice(0, -1))], false).update(update);
  });

  it('restores the memory of an engine that sleeps without weights first', async () => {
    const steps = [status(released), control('/wakeup?tags=weights'), status(cleared), receive(inOrder)];
    await client([await fake(...steps)]).update(update);
    await client([await fake(status(released))]).preflight!(update);
  });

  it('asks all data-parallel servers at the same time, each for its own devices', async () => {
    const meetings = Array.from({ length: 6 }, () => meeting(2));
    const server = (uuid: 'GPU-a' | 'GPU-b') =>
      fake(
        status({ ...serving, device_uuids: [uuid] }, meetings[0]!),
        control('/sleep?level=2', meetings[1]!),
        control('/wakeup?tags=weights', meetings[2]!),
        status({ ...cleared, device_uuids: [uuid] }, meetings[3]!),
        receive({ [uuid]: handles[uuid] }, meetings[4]!),
        control('/wakeup?tags=kv_cache', meetings[5]!),
      );
    await client([await server('GPU-a'), await server('GPU-b')]).update(update);
  });

  it('lists both sides if the devices differ', async () => {
    const engine = client([
      await fake(status({ ...empty, device_uuids: ['GPU-a', 'GPU-x'] }), status({ ...empty, device_uuids: ['GPU-a'] })),
    ]);
    await expect(engine.preflight!(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_MISMATCH',
      message: expect.stringContaining('runs on [GPU-a, GPU-x], but the update is for [GPU-a, GPU-b]'),
    });
    await expect(engine.preflight!(update)).rejects.toMatchObject({ code: 'CE_ENGINE_MISMATCH' });
  });

  it('reports why a receiver is not ready, before anything changes', async () => {
    const blocked = {
      ...empty,
      ready: false,
      message: 'checkpoint-engine is not installed',
      sleeping_tags: ['kv_cache'],
    };
    const engine = client([await fake(status(blocked), status(blocked))]);
    for (const ask of [() => engine.preflight!(update), () => engine.update(update)]) {
      await expect(ask()).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        message: expect.stringContaining('checkpoint-engine is not installed'),
      });
    }
  });

  it('refuses servers if only some of them sleep', async () => {
    const one = await fake(status({ ...empty, device_uuids: ['GPU-a'] }));
    const other = await fake(status({ ...serving, device_uuids: ['GPU-b'] }));
    await expect(client([one, other]).update(update)).rejects.toMatchObject({ code: 'CE_ENGINE_MISMATCH' });
  });

  it('lets a failed engine sleep, and releases the other servers', async () => {
    const failure = { success: false, message: 'weights may be partially updated' };
    const one = await fake(status({ ...empty, device_uuids: ['GPU-a'] }), {
      ...receive({ 'GPU-a': handles['GPU-a'] }),
      status: 400,
      reply: failure,
    });
    const other = await fake(
      status({ ...empty, device_uuids: ['GPU-b'] }),
      receive({ 'GPU-b': handles['GPU-b'] }, 'hang'),
    );
    const logger = keepingLogger();
    const endpoints = [one.endpoint, other.endpoint];
    const engine = lmdeployEngine({ endpoints, apiKey: 'sesame', wakeAfter: true, logger });
    await expect(engine.update(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 400,
      message: expect.stringContaining('partially updated'),
    });
    await expect.poll(() => other.cutCount).toBe(1);
    expect(logger.lines).toContainEqual(expect.stringMatching(/^error LMDeploy stays asleep .*recreate its replicas/));
  });

  it('reports what another backend lacks', async () => {
    const engine = client([await fake({ method: 'GET', path, status: 501, reply: { detail: 'turbomind' } })]);
    await expect(engine.preflight!(update)).rejects.toMatchObject({
      code: 'CE_ENGINE_FAILED',
      status: 501,
      hint: expect.stringContaining('--backend pytorch'),
    });
  });
});
