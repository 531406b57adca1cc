import { describe, expect, it } from 'vitest';
import { sglangEngine } from '../src/index.ts';
import { FakeEngine, keepingLogger, type Step } from './engines-fake.ts';

const wait = { signal: new AbortController().signal, timeoutMs: 5_000 };
const info = (reply: unknown, status = 200, path = '/server_info'): Step => ({ method: 'GET', path, status, reply });
const plugin = (weights = 'loaded', protocols = [2]) => ({ checkpoint_engine_worker: { weights, protocols } });

describe('sglangEngine.choose', () => {
  it.each([
    ['the plugin', [info({ internal_states: [plugin(), plugin()] })], 'v2'],
    [
      'the plugin, by the older route',
      [info({}, 404), info({ internal_states: [plugin()] }, 200, '/get_server_info')],
      'v2',
    ],
    ['the plugin in some schedulers only', [info({ internal_states: [plugin(), {}] })], 'v1'],
    ['a plugin of another protocol', [info({ internal_states: [plugin('loaded', [3])] })], 'v1'],
    ['no plugin', [info({ internal_states: [{ load: 1 }] })], 'v1'],
    ['no states', [info({ internal_states: [] })], 'v1'],
    ['something else', [info('text')], 'v1'],
    ['no route', [info({}, 404), info({}, 404, '/get_server_info')], 'v1'],
    ['a route that fails', [info({}, 500)], 'v1'],
  ] as const)('finds %s', async (_, steps, workers) => {
    const fake = await FakeEngine.listen(steps);
    const engine = sglangEngine({ endpoints: [fake.endpoint] });
    await expect(engine.choose!(wait)).resolves.toEqual({ workers, passes: 'any' });
    fake.check();
    fake.close();
  });

  it('logs what it found, and that the weights are unknown', async () => {
    const logger = keepingLogger();
    const fake = await FakeEngine.listen([info({ internal_states: [plugin(), plugin('unknown')] })]);
    await sglangEngine({ endpoints: [fake.endpoint], logger }).choose!(wait);
    fake.close();
    expect(logger.lines.join()).toMatch(/plugin of checkpoint-engine-worker, protocol v2; its weights are unknown/);
  });

  it('fails if the engine refuses the key', async () => {
    const fake = await FakeEngine.listen([info({}, 403)]);
    const choosing = sglangEngine({ endpoints: [fake.endpoint] }).choose!(wait);
    await expect(choosing).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED', status: 403 });
    fake.close();
  });
});

describe('sglangEngine.describe', () => {
  it.each([
    ['the plugin', [info({ internal_states: [plugin(), plugin('unknown')] })], ['loaded', 'unknown'], false],
    ['no plugin', [info({ internal_states: [{ load: 1 }] })], [], true],
  ] as const)('reports %s', async (_, steps, weights, hasHint) => {
    const fake = await FakeEngine.listen(steps);
    const description = await sglangEngine({ endpoints: [fake.endpoint] }).describe!(wait);
    expect(description.workers.map((worker) => worker.weights)).toEqual(weights);
    expect(description.workers.every(({ pull }) => pull === 'unreported')).toBe(true);
    expect(description.receiver === undefined).toBe(hasHint);
    expect(description.hint !== undefined).toBe(hasHint);
    fake.check();
    fake.close();
  });
});
