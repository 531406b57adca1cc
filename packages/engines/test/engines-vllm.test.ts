import { silentLogger } from '@checkpoint-engine/interface';
import { describe, expect, it, vi } from 'vitest';
import { type EngineUpdate, heldVersion, vllmEngine } from '../src/index.ts';
import { FakeEngine, type Step } from './engines-fake.ts';

const wait = { signal: new AbortController().signal, timeoutMs: 5_000 };
const handles = { 'GPU-1': `ce2:name?key=${'ab'.repeat(32)}` };
const update: EngineUpdate = { ...wait, handles };
const BACKEND = { backend: 'checkpoint_engine' };

const info = (fields: object, status = 200): Step => ({
  method: 'GET',
  path: '/server_info?config_format=json',
  status,
  reply: { vllm_config: { parallel_config: { worker_extension_cls: '' }, weight_transfer_config: null, ...fields } },
});
const extension = (worker_extension_cls: string) => ({ parallel_config: { worker_extension_cls } });
const EXTENSION = info(extension('checkpoint_engine_worker.vllm_extension.WorkerExtension'));
const describeCall = (reply: unknown, status = 200): Step => ({
  method: 'POST',
  path: '/collective_rpc',
  body: { method: 'checkpoint_engine_describe', timeout: 5 },
  status,
  reply,
});
const worker = { package: 'checkpoint-engine-worker', protocols: [2], weights: 'loaded' };

async function withEngine(steps: readonly Step[], test: (fake: FakeEngine) => Promise<void>): Promise<void> {
  const fake = await FakeEngine.listen(steps);
  try {
    await test(fake);
    fake.check();
  } finally {
    fake.close();
  }
}

/** Ends only tests that hang. */
const HANG = { timeout: 120_000 };

describe('vllmEngine.choose', () => {
  it.each([
    ['the Python tool', [info(extension('checkpoint_engine.worker.VllmColocateWorkerExtension'))], 'v1', 'one'],
    ['no configuration', [info({})], 'v1', 'one'],
    ['another backend', [info({ weight_transfer_config: { backend: 'nccl' } })], 'v1', 'one'],
    ['no server_info, and no receiver', [info({}, 404), describeCall({ error: 'no method' }, 500)], 'v1', 'one'],
    ['no server_info', [info({}, 404), describeCall({ results: [worker, worker] })], 'v2', 'one'],
    [
      'the extension',
      [info(extension('checkpoint_engine_worker.vllm_extension.WorkerExtension')), describeCall({ results: [worker] })],
      'v2',
      'one',
    ],
    [
      'an extension of the user, which is ours',
      [info(extension('mine.Extension')), describeCall({ results: [worker] })],
      'v2',
      'one',
    ],
    [
      'an extension of the user, which is not',
      [info(extension('mine.Extension')), describeCall({ detail: 'no' }, 500)],
      'v1',
      'one',
    ],
    [
      'an extension on some workers only',
      [info(extension('mine.Extension')), describeCall({ results: [worker, null] })],
      'v1',
      'one',
    ],
    [
      'a receiver of another protocol',
      [info(extension('mine.Extension')), describeCall({ results: [{ ...worker, protocols: [3] }] })],
      'v1',
      'one',
    ],
    ['the backend', [info({ weight_transfer_config: BACKEND })], 'v2', 'one'],
    [
      'the backend, with a separate draft model',
      [
        info({
          weight_transfer_config: BACKEND,
          model_config: { model: '/m' },
          speculative_config: { draft_model_config: { model: '/d' } },
        }),
      ],
      'v2',
      'one',
    ],
    [
      'the backend, with a draft model in the same checkpoint',
      [
        info({
          weight_transfer_config: BACKEND,
          model_config: { model: '/m' },
          speculative_config: { draft_model_config: { model: '/m' } },
        }),
      ],
      'v2',
      'any',
    ],
  ] as const)('finds %s', async (what, steps, workers, passes) => {
    // The backend has one call, which is an update.
    const canPrepare = workers === 'v2' && !what.startsWith('the backend');
    await withEngine(steps, async ({ endpoint }) => {
      const engine = vllmEngine({ endpoints: [endpoint] });
      await expect(engine.choose!(wait)).resolves.toEqual({ workers, passes, canPrepare });
    });
  });

  it('logs what it found, and that the weights are unknown', async () => {
    const said: unknown[] = [];
    const logger = { ...silentLogger, info: (_: unknown, text: string) => said.push(text) };
    const unknown = { ...worker, weights: 'unknown' };
    await withEngine([info(extension('x')), describeCall({ results: [worker, unknown] })], async ({ endpoint }) => {
      await vllmEngine({ endpoints: [endpoint], logger: logger as never }).choose!(wait);
    });
    expect(said.join()).toMatch(/extension of checkpoint-engine-worker, protocol v2; its weights are unknown/);
  });

  it('asks workers that had the extension before the configuration', async () => {
    const described = describeCall({ results: [{ ...worker, keptDraft: null }] });
    const steps = [EXTENSION, described, described];
    await withEngine(steps, async ({ endpoint }) => {
      const engine = vllmEngine({ endpoints: [endpoint] });
      await engine.choose!(wait);
      await expect(engine.choose!(wait)).resolves.toMatchObject({ workers: 'v2' });
    });
  });

  it('reads the configuration again if the engine was restarted without the extension', async () => {
    const steps = [EXTENSION, describeCall({ results: [worker] }), describeCall({ error: 'no method' }, 500), info({})];
    await withEngine(steps, async ({ endpoint }) => {
      const engine = vllmEngine({ endpoints: [endpoint] });
      await engine.choose!(wait);
      await expect(engine.choose!(wait)).resolves.toMatchObject({ workers: 'v1' });
    });
  });

  it('fails if the engine refuses the key', async () => {
    await withEngine([info({}, 401)], async ({ endpoint }) => {
      await expect(vllmEngine({ endpoints: [endpoint] }).choose!(wait)).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        status: 401,
      });
    });
  });
});

const queries: Step[] = [
  { method: 'GET', path: '/get_world_size?include_dp=true', reply: { world_size: 1 } },
  { method: 'GET', path: '/get_world_size?include_dp=false', reply: { world_size: 1 } },
];
const post = (path: string, body?: unknown, more: Partial<Step> = {}): Step => ({
  method: 'POST',
  path,
  ...(body === undefined ? {} : { body }),
  reply: {},
  ...more,
});
const any = (): boolean => true;
/** The time that is left goes down. */
const receives = (body: unknown): boolean => {
  const { update_info } = body as { update_info: { handles: unknown; timeout_s: number } };
  expect(update_info).toEqual({ handles, timeout_s: update_info.timeout_s });
  return update_info.timeout_s > 0 && update_info.timeout_s <= 5;
};

describe('vllmEngine.update', () => {
  it('asks the extension for the update, and vLLM to flush its prefix cache', async () => {
    const steps = [
      info(extension('x')),
      describeCall({ results: [worker] }),
      post(
        '/collective_rpc',
        { method: 'checkpoint_engine_update', args: [handles, 5], timeout: 5 },
        {
          reply: { results: [null] },
        },
      ),
      post('/reset_prefix_cache'),
    ];
    await withEngine(steps, async ({ endpoint }) => {
      await vllmEngine({ endpoints: [endpoint] }).update(update);
    });
  });

  describe('of a multimodal model', () => {
    const told = [EXTENSION, describeCall({ results: [worker, { ...worker, cachesEncoder: true }] })];
    const receive = post('/collective_rpc', any, { reply: { results: [null] } });

    it('flushes what its encoder has made with the old weights, by the engine', async () => {
      const steps = [...told, receive, post('/reset_prefix_cache'), post('/reset_encoder_cache')];
      await withEngine(steps, ({ endpoint }) => vllmEngine({ endpoints: [endpoint] }).update(update));
      await withEngine([...told, receive], ({ endpoint }) =>
        vllmEngine({ endpoints: [endpoint], flushCache: false }).update(update),
      );
    });

    it.each([
      [{}, false],
      [{ multimodal_config: null }, false],
      [{ multimodal_config: { limit_per_prompt: {} } }, true],
    ])('is known by its configuration %j: %s', async (model_config, flushes) => {
      const steps = [
        info({ weight_transfer_config: BACKEND, model_config }),
        ...queries,
        post('/init_weight_transfer_engine', any),
        post('/start_weight_update'),
        ...queries,
        post('/update_weights', receives),
        post('/finish_weight_update', {}),
        post('/reset_prefix_cache'),
        ...(flushes ? [post('/reset_encoder_cache')] : []),
      ];
      await withEngine(steps, ({ endpoint }) => vllmEngine({ endpoints: [endpoint] }).update(update));
    });

    it('warns if vLLM cannot', async () => {
      const said: unknown[] = [];
      const logger = { ...silentLogger, warn: (_: unknown, text: string) => said.push(text) };
      const missing = post('/reset_encoder_cache', undefined, { status: 404 });
      await withEngine([...told, receive, post('/reset_prefix_cache'), missing], ({ endpoint }) =>
        vllmEngine({ endpoints: [endpoint], logger: logger as never }).update(update),
      );
      expect(said.join()).toMatch(/no route to flush its encoder cache/);
    });
  });

  it('queues the flush of cached prefixes behind an update that is about to end', async () => {
    let queue = (): void => {};
    const isQueued = new Promise<void>((resolve) => {
      queue = resolve;
    });
    const steps = [
      info(extension('x')),
      describeCall({ results: [worker] }),
      // The engine answers the update only when the flush is in its queue.
      post('/collective_rpc', any, { reply: { results: [null] }, before: () => isQueued }),
      post('/reset_prefix_cache', undefined, { before: async () => queue() }),
    ];
    await withEngine(steps, async (fake) => {
      const loaded = vi.waitFor(() => expect(fake.askedCount).toBe(3), HANG);
      await vllmEngine({ endpoints: [fake.endpoint] }).update({ ...update, loaded });
    });
  });

  it('sends a backend the version that is known only at the end', async () => {
    const steps = [
      info({ weight_transfer_config: BACKEND }),
      ...queries,
      post('/init_weight_transfer_engine', { init_info: { checkpoint_engine_protocol: 2 } }),
      post('/update_weight_version', { new_version: 'unknown' }),
      post('/start_weight_update'),
      ...queries,
      post('/update_weights', receives),
      post('/finish_weight_update', { weight_version: 'digest:1' }),
      post('/update_weight_version', { new_version: 'digest:1' }),
    ];
    await withEngine(steps, async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint], flushCache: false });
      await engine.update({ ...update, settledVersion: Promise.resolve('digest:1') });
    });
  });

  it('runs the life cycle of a backend, paused, with a version', async () => {
    const steps = [
      info({ weight_transfer_config: BACKEND }),
      ...queries,
      post('/pause?mode=wait&clear_cache=true'),
      post('/init_weight_transfer_engine', { init_info: { checkpoint_engine_protocol: 2 } }),
      post('/update_weight_version', { new_version: 'unknown' }),
      post('/start_weight_update'),
      ...queries,
      post('/update_weights', receives),
      post('/finish_weight_update', { weight_version: '7' }),
      post('/reset_prefix_cache'),
      post('/update_weight_version', { new_version: '7' }),
      post('/resume'),
    ];
    await withEngine(steps, async ({ endpoint }) => {
      const engine = vllmEngine({ endpoints: [endpoint], pause: 'wait' });
      await engine.update({ ...update, weightVersion: '7' });
    });
  });

  it('ends an update that a dead parameter server left open, and starts again', async () => {
    const active = { detail: 'start_weight_update called while a weight update is already active' };
    const steps = [
      info({ weight_transfer_config: BACKEND }),
      ...queries,
      post('/init_weight_transfer_engine', any),
      post('/start_weight_update', undefined, { status: 500, reply: active }),
      post('/finish_weight_update', {}),
      post('/start_weight_update'),
      ...queries,
      post('/update_weights', receives),
      post('/finish_weight_update', {}),
      post('/reset_prefix_cache'),
    ];
    await withEngine(steps, async ({ endpoint }) => {
      await vllmEngine({ endpoints: [endpoint] }).update(update);
    });
  });

  it('loads the draft model in a second pass of the backend', async () => {
    const config = {
      weight_transfer_config: BACKEND,
      model_config: { model: '/m' },
      speculative_config: { draft_model_config: { model: '/m' } },
    };
    const receive = post('/update_weights', receives);
    const finish = post('/finish_weight_update', {});
    const steps = [
      info(config),
      ...queries,
      post('/init_weight_transfer_engine', any),
      post('/start_weight_update'),
      ...queries,
      receive,
      finish,
      post('/start_draft_weight_update'),
      receive,
      finish,
    ];
    await withEngine(steps, async ({ endpoint }) => {
      await vllmEngine({ endpoints: [endpoint], flushCache: false }).update(update);
    });
  });

  it('uses in the pre-flight what it asked ahead, and asks again after a failure', async () => {
    const ahead = [...queries, { method: 'GET', path: '/is_sleeping', reply: { is_sleeping: false } } as const];
    const [first, ...others] = ahead;
    const steps = [EXTENSION, describeCall({ results: [worker] }), ...ahead.map((step) => ({ ...step, atOnce: true }))];
    await withEngine(steps, async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint] });
      await engine.choose!(wait);
      engine.prefetch!(wait);
      await engine.preflight!(update);
    });
    const hang = { before: 'hang', atOnce: true } as const;
    const failing = [
      { ...first!, ...hang },
      { ...others[1]!, ...hang },
    ];
    await withEngine([...steps.slice(0, 2), ...failing, first!, ...others], async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint] });
      await engine.choose!(wait);
      const stop = new AbortController();
      engine.prefetch!({ ...wait, signal: stop.signal });
      await vi.waitFor(() => expect(fake.askedCount).toBe(4), HANG);
      stop.abort();
      await engine.preflight!(update);
    });
  });

  it('stays paused after a failure, whose weights are unknown', async () => {
    const said: unknown[] = [];
    const logger = { ...silentLogger, error: (_: unknown, text: string) => said.push(text) };
    const steps = [
      info(extension('x')),
      describeCall({ results: [worker] }),
      ...queries,
      post('/pause?mode=keep&clear_cache=false'),
      ...queries,
      post('/collective_rpc', any, { status: 500, reply: { detail: 'CE_WORKER_FAILED' } }),
    ];
    await withEngine(steps, async ({ endpoint }) => {
      const engine = vllmEngine({ endpoints: [endpoint], pause: 'keep', logger: logger as never });
      await expect(engine.update(update)).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED' });
    });
    expect(said.join()).toMatch(/weights are unknown/);
  });

  it('refuses addresses of protocol v2 if there is no receiver', async () => {
    await withEngine([info({})], async ({ endpoint }) => {
      await expect(vllmEngine({ endpoints: [endpoint] }).update(update)).rejects.toMatchObject({
        code: 'CE_ENGINE_MISMATCH',
      });
    });
  });
});

const weightInfo = (weight_version: unknown, status = 200): Step => ({
  method: 'GET',
  path: '/weight_info',
  status,
  reply: { weight_version },
});

describe("the version of vLLM's weights", () => {
  const workers = (...versions: unknown[]): Step[] => [
    info(extension('x')),
    describeCall({ results: versions.map((weightVersion) => ({ ...worker, weightVersion })) }),
  ];
  const backend = (step: Step): Step[] => [info({ weight_transfer_config: BACKEND }), step];

  it.each([
    ['of all its workers', workers('v7', 'v7'), 'v7'],
    ['of workers that differ', workers('v7', 'v8'), 'unknown'],
    ['of a worker that was not confirmed', workers('v7', 'unknown'), 'unknown'],
    ['of workers that report an invalid version', workers('v 7', 'v 7'), 'unknown'],
    ['of an older receiver', workers('v7', undefined), undefined],
    ['that the backend was given', backend(weightInfo('v7')), 'v7'],
    ['that the backend was given after a failure', backend(weightInfo('unknown')), 'unknown'],
    ['of a backend that was started again', backend(weightInfo('default')), 'unknown'],
    ['of a backend that keeps none', backend(weightInfo(null, 404)), undefined],
    ["of the Python tool's extension", [info({})], undefined],
  ])('is that %s', async (_, steps, wanted) => {
    await withEngine(steps, async ({ endpoint }) => {
      expect(heldVersion(await vllmEngine({ endpoints: [endpoint] }).describe!(wait))).toBe(wanted);
    });
  });
});

describe('vllmEngine.describe', () => {
  const summary = {
    ...{ modules: 3, direct: 1, staged: 1, opaque: 1, recordedMs: 5, provedMs: 6 },
    reasons: 'lm_head\tthe engine keeps a copy\nnorm\tit differs',
  };
  const told = (pull: unknown) => [
    info(extension('checkpoint_engine_worker.vllm_extension.WorkerExtension')),
    describeCall({ results: [{ ...worker, version: '0.2.0', checkpoint: 'step-7', pull }] }),
  ];

  it.each([
    ['never asked', { recorded: false, proved: false, engine: 'vllm 0.26' }, 'unrecorded', false],
    ['recorded', { recorded: true, proved: false, engine: '', summary }, 'unproved', true],
    ['proved', { recorded: true, proved: true, engine: 'vllm 0.26', summary }, 'pulls', true],
    ['switched off', null, 'never', false],
    ['an older release', undefined, 'unreported', false],
    ['nonsense', { recorded: 'yes', proved: 1, engine: 5, summary: 'x' }, 'unrecorded', false],
  ])('detects a worker that is %s', async (_, pull, decided, hasModules) => {
    await withEngine(told(pull), async (fake) => {
      const description = await vllmEngine({ endpoints: [fake.endpoint] }).describe!(wait);
      expect(description).toMatchObject({
        receiver: 'checkpoint-engine-worker 0.2.0',
        summary: expect.stringContaining('extension of checkpoint-engine-worker'),
        workers: [{ weights: 'loaded', checkpoint: 'step-7', pull: decided }],
      });
      expect(description.workers[0]!.modules !== undefined).toBe(hasModules);
      if (hasModules) {
        expect(description.workers[0]!.modules).toMatchObject({
          ...{ modules: 3, direct: 1, staged: 1, opaque: 1 },
          reasons: [
            { module: 'lm_head', reason: 'the engine keeps a copy' },
            { module: 'norm', reason: 'it differs' },
          ],
        });
      }
      expect(description.hint !== undefined).toBe(decided === 'never' || decided === 'unreported');
    });
  });

  it.each([
    ['no receiver', [info({})], undefined, /Install the Python package checkpoint-engine-worker/],
    [
      'the backend',
      [info({ weight_transfer_config: BACKEND }), weightInfo('7')],
      'checkpoint-engine-worker',
      /checkpoint-engine doctor/,
    ],
  ])('says what to do about %s', async (_, steps, receiver, hint) => {
    await withEngine(steps, async (fake) => {
      const description = await vllmEngine({ endpoints: [fake.endpoint] }).describe!(wait);
      expect(description).toMatchObject({ workers: [], hint: expect.stringMatching(hint) });
      expect(description.receiver).toBe(receiver);
    });
  });
});

describe('a draft model', () => {
  const speculative = (model: unknown, method = 'draft_model') => ({
    ...{ model_config: { model: '/m' }, speculative_config: { method, draft_model_config: { model } } },
  });
  const wayOf = async (steps: readonly Step[]): Promise<string> => {
    let summary = '';
    await withEngine(steps, async (fake) => {
      ({ summary } = await vllmEngine({ endpoints: [fake.endpoint] }).describe!(wait));
    });
    return summary;
  };
  const mine = extension('mine.Extension');
  const weightInfo: Step = { method: 'GET', path: '/weight_info', reply: {} };
  const backend = (model: unknown) => [info({ weight_transfer_config: BACKEND, ...speculative(model) }), weightInfo];

  it('with a separate checkpoint keeps its weights, which the log states', async () => {
    const told = '; its draft model /draft keeps its weights';
    const described = describeCall({ results: [worker] });
    expect(await wayOf([info({ ...mine, ...speculative('/draft') }), described])).toContain(told);
    expect(await wayOf(backend('/draft'))).toContain(told);
    for (const model of ['/m', undefined, null, 7]) {
      expect(await wayOf([info({ ...mine, ...speculative(model) }), described])).not.toContain('draft');
      expect(await wayOf(backend(model))).not.toContain('draft');
    }
  });

  // vLLM gives the target's model as the draft model of these methods.
  it.each(['ngram', 'ngram_gpu', 'suffix', 'custom_class', 'extract_hidden_states'])(
    'does not exist with the method %s: an update has one pass',
    async (method) => {
      for (const model of ['/m', '/draft']) {
        const steps = [info({ weight_transfer_config: BACKEND, ...speculative(model, method) })];
        await withEngine(steps, async ({ endpoint }) => {
          await expect(vllmEngine({ endpoints: [endpoint] }).choose!(wait)).resolves.toMatchObject({ passes: 'one' });
        });
        expect(await wayOf([...steps, weightInfo])).not.toContain('draft');
      }
    },
  );

  it("from the target's address is a part of the target's checkpoint", async () => {
    const [first, second] = [
      { model: '/a', model_weights: 's3://m' },
      { model: '/b', model_weights: 's3://m' },
    ];
    const config = { model_config: first, speculative_config: { method: 'mtp', draft_model_config: second } };
    await withEngine([info({ weight_transfer_config: BACKEND, ...config })], async ({ endpoint }) => {
      await expect(vllmEngine({ endpoints: [endpoint] }).choose!(wait)).resolves.toMatchObject({ passes: 'any' });
    });
  });

  it('on the last stage of a pipeline needs the extension', async () => {
    const staged = { parallel_config: { worker_extension_cls: '', pipeline_parallel_size: 2 } };
    const steps = [info({ weight_transfer_config: BACKEND, ...speculative('/m', 'mtp'), ...staged })];
    await withEngine(steps, async ({ endpoint }) => {
      await expect(vllmEngine({ endpoints: [endpoint] }).preflight!(update)).rejects.toMatchObject({
        code: 'CE_NOT_SUPPORTED',
        message: expect.stringContaining('last of its 2 pipeline stages'),
        hint: expect.stringContaining('worker extension'),
      });
    });
  });

  describe('of an engine that was started again', () => {
    const described = (keptDraft?: unknown) => describeCall({ results: [{ ...worker, keptDraft }, worker] });
    const config = (model?: string) => info({ ...mine, ...(model === undefined ? {} : speculative(model)) });
    const texts = async (steps: readonly Step[]): Promise<string[]> => {
      const said: string[] = [];
      const logger = { ...silentLogger, info: (_: unknown, text: string) => said.push(text) };
      await withEngine(steps, async ({ endpoint }) => {
        const engine = vllmEngine({ endpoints: [endpoint], logger: logger as never });
        await engine.choose!(wait);
        await engine.choose!(wait);
      });
      return said.map((text) => /its draft model (\S+)/.exec(text)?.[1] ?? 'none');
    };

    it('is the draft model that its workers report', async () => {
      expect(await texts([config('/a'), described('/a'), described('/b')])).toEqual(['/a', '/b']);
      const without = describeCall({ results: [{ ...worker, keptDraft: null }] });
      expect(await texts([config('/a'), described('/a'), without])).toEqual(['/a', 'none']);
      expect(await texts([config(), without, described('/b')])).toEqual(['none', '/b']);
    });

    it.each([[undefined], [7], ['']])(
      'is the draft model of its configuration if its workers report %j',
      async (named) => {
        const one = described(named);
        expect(await texts([config('/a'), one, one, config('/b')])).toEqual(['/a', '/b']);
        expect(await texts([config('/a'), one, one, config()])).toEqual(['/a', 'none']);
      },
    );
  });
});

describe('vllmEngine.describe, by the backend', () => {
  const address = `ce2:inbox?key=${'cd'.repeat(32)}`;
  const backend = [info({ weight_transfer_config: BACKEND })];
  const weightInfo: Step = { method: 'GET', path: '/weight_info', reply: { weight_version: 'v7' } };
  const ask = (tell: () => void, reply: unknown = {}, status = 200): Step => ({
    method: 'POST',
    path: '/init_weight_transfer_engine',
    body: { init_info: { checkpoint_engine_protocol: 2, report_to: address } },
    status,
    reply,
    before: async () => tell(),
  });
  const failed = (message: string): readonly [unknown, number] => [{ error: { message, code: 500 } }, 500];

  it('asks the workers to report to an address', async () => {
    const reports: unknown[] = [];
    const told = { package: 'checkpoint-engine-worker', version: '0.3.0', weights: 'loaded', weightVersion: 'v7' };
    const tell = () => void reports.push({ ...told, pull: { recorded: true, proved: true } }, { ...told, pull: null });
    await withEngine([...backend, weightInfo, ask(tell)], async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint] });
      expect(await engine.describe!({ ...wait, inbox: { address, reports } })).toMatchObject({
        receiver: 'checkpoint-engine-worker 0.3.0',
        summary: expect.stringContaining('weight-transfer backend'),
        workers: [
          { weights: 'loaded', pull: 'pulls' },
          { weights: 'loaded', pull: 'never' },
        ],
        weightVersion: 'v7',
        hint: expect.stringContaining('CHECKPOINT_ENGINE_PULL=0'),
      });
    });
  });

  it.each([
    ['an older release', failed("Invalid init_info: unexpected keyword argument 'report_to'"), /^Update the Python/],
    ['workers on another host', failed('CE_PEER_UNREACHABLE: No parameter server listens'), /where the workers/],
    ['another failure', failed('no such thing'), /did not describe themselves: .*no such thing/],
    ['workers that say nothing', [{}, 200], /^Update the Python/],
  ] as const)('says what to do about %s', async (_, [reply, status], hint) => {
    await withEngine([...backend, weightInfo, ask(() => {}, reply, status)], async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint] });
      const description = await engine.describe!({ ...wait, inbox: { address, reports: [] } });
      expect(description).toMatchObject({ workers: [], hint: expect.stringMatching(hint) });
    });
  });

  it('reports a wrong API key', async () => {
    await withEngine([...backend, weightInfo, ask(() => {}, {}, 401)], async (fake) => {
      const engine = vllmEngine({ endpoints: [fake.endpoint] });
      const asked = engine.describe!({ ...wait, inbox: { address, reports: [] } });
      await expect(asked).rejects.toMatchObject({ code: 'CE_ENGINE_FAILED', status: 401 });
    });
  });
});

describe('vllmEngine.preflight, in sleep mode', () => {
  const sleeping = (is_sleeping: boolean, status = 200): Step => ({
    method: 'GET',
    path: '/is_sleeping',
    status,
    reply: { is_sleeping },
  });
  const sizes: Step[] = ['true', 'false'].map((dp) => ({
    method: 'GET',
    path: `/get_world_size?include_dp=${dp}`,
    reply: { world_size: 1 },
  }));
  const found = (asleep?: readonly string[]) => describeCall({ results: [{ ...worker, asleep }] });
  const byExtension = [info(extension('mine.Extension')), found(), ...sizes];
  const byBackend = [info({ weight_transfer_config: BACKEND }), ...sizes];
  const init = (reply: unknown, status: number): Step => ({
    method: 'POST',
    path: '/init_weight_transfer_engine',
    body: { init_info: { checkpoint_engine_protocol: 2 } },
    status,
    reply,
  });
  const preflight = (fake: FakeEngine, pause: 'off' | 'keep' = 'off'): Promise<void> =>
    vllmEngine({ endpoints: [fake.endpoint], pause }).preflight!(update);

  it('sends no further request to an engine that is awake, or has no sleep mode', async () => {
    await withEngine([...byExtension, sleeping(false)], (fake) => preflight(fake, 'keep'));
    await withEngine([...byExtension, sleeping(true, 404)], (fake) => preflight(fake, 'keep'));
    await withEngine([...byBackend, sleeping(false)], (fake) => preflight(fake, 'keep'));
  });

  it('refuses weights without memory', async () => {
    await withEngine([...byExtension, sleeping(true), found(['kv_cache', 'weights'])], async (fake) => {
      await expect(preflight(fake)).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        message: expect.stringContaining('its weights have no memory'),
        hint: expect.stringContaining('/wake_up?tags=weights'),
      });
    });
    const said = { error: { message: 'CE_ENGINE_FAILED: The engine sleeps: its weights have no memory', code: 500 } };
    await withEngine([...byBackend, sleeping(true), init(said, 500)], async (fake) => {
      await expect(preflight(fake)).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        message: expect.stringContaining('The engine sleeps'),
      });
    });
  });

  it('updates an engine whose weights are awake, and does not resume what still sleeps', async () => {
    const partly = [...byExtension, sleeping(true), found(['kv_cache'])];
    await withEngine(partly, (fake) => preflight(fake));
    await withEngine(partly, async (fake) => {
      await expect(preflight(fake, 'keep')).rejects.toMatchObject({
        code: 'CE_ENGINE_FAILED',
        message: expect.stringContaining('is partly asleep (kv_cache)'),
        hint: expect.stringContaining('without --pause'),
      });
    });
    // A paused engine reports the same.
    await withEngine([...byExtension, sleeping(true), found()], (fake) => preflight(fake, 'keep'));
    await withEngine([...byBackend, sleeping(true), init({}, 200)], (fake) => preflight(fake));
  });

  it('treats an engine with an unknown answer as awake', async () => {
    for (const reply of [{ results: [null] }, { results: 'none' }, { results: [{ asleep: [1] }] }, 'text']) {
      await withEngine([...byExtension, sleeping(true), describeCall(reply)], (fake) => preflight(fake, 'keep'));
    }
  });
});
