// The real receiver in Python on a CPU with every fault that a pull can have. Each fault is detected and reported.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import type { HostMemory, Store } from '@checkpoint-engine/interface';
import { connectStore, type NamedTensor, ParameterServer, startStoreServer, v2Protocol } from '@checkpoint-engine/ps';
import { shm } from '@checkpoint-engine/transport-shm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const python = process.env.CHECKPOINT_ENGINE_PYTHON ?? 'python3';
const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const env = {
  ...process.env,
  PYTHONPATH: [path('python'), path('../../python/worker/src')].join(':'),
  CHECKPOINT_ENGINE_RECORDINGS: '0',
};
const hasPython = spawnSync(python, ['-c', 'import torch, numpy, msgspec'], { env }).status === 0;
if (!hasPython) console.warn(`skipped: ${python} cannot import torch, numpy and msgspec`);

const RANKS = 2;
const FORM = { layers: 2, experts: 4, hidden: 64, inner: 32, vocabulary: 256, tp: RANKS };

function tensorsOf(): NamedTensor[] {
  const { layers, experts, hidden, inner, vocabulary } = FORM;
  const tensors: NamedTensor[] = [];
  const add = (name: string, shape: readonly [number, number]): void => {
    tensors.push({ name: `${name}.weight`, dtype: 'BF16', shape, bytes: randomBytes(shape[0] * shape[1] * 2) });
  };
  add('embed', [vocabulary, hidden]);
  for (let layer = 0; layer < layers; layer++) {
    for (const name of ['q', 'o']) add(`layers.${layer}.${name}`, [hidden, hidden]);
    for (let expert = 0; expert < experts; expert++) {
      add(`layers.${layer}.experts.${expert}.gate`, [inner, hidden]);
      add(`layers.${layer}.experts.${expert}.up`, [inner, hidden]);
      add(`layers.${layer}.experts.${expert}.down`, [hidden, inner]);
    }
  }
  return tensors;
}

/** A worker in a separate process, which answers each line with a line. */
class PythonWorker {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(rank: number) {
    const form = JSON.stringify({ ...FORM, rank });
    this.#child = spawn(python, [path('python/receiver_model.py'), form], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async answer(): Promise<Record<string, unknown>> {
    const { value } = await this.#lines.next();
    return JSON.parse(value ?? '{"error":"the worker has ended"}') as Record<string, unknown>;
  }

  async ask(question: object): Promise<Record<string, unknown>> {
    this.#child.stdin!.write(`${JSON.stringify(question)}\n`);
    const answer = await this.answer();
    if (answer.error !== undefined) throw new Error(String(answer.error));
    return answer;
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

describe.skipIf(!hasPython)('verified updates of the receiver in Python', { timeout: 600_000 }, () => {
  const workers: PythonWorker[] = [];
  const servers: ParameterServer[] = [];
  const closers: (() => unknown)[] = [];
  /** Pools of checkpoint b at rank 0. */
  const pools: HostMemory[] = [];

  beforeAll(async () => {
    for (let rank = 0; rank < RANKS; rank++) workers.push(new PythonWorker(rank));
    closers.push(() => {
      for (const worker of workers) worker.end();
    });
    for (const worker of workers) expect(await worker.answer()).toEqual({ ready: true });
    const storeServer = await startStoreServer({ port: 0, worldSize: RANKS });
    closers.push(() => storeServer.close());
    const { address } = storeServer;
    await Promise.all(
      workers.map(async (_, rank) => {
        const device = await createHostDevice({ index: rank, threads: 2 });
        const store: Store = await connectStore({ address, rank, worldSize: RANKS, timeoutMs: 20_000 });
        closers.push(
          () => store.close(),
          () => device.close(),
        );
        servers[rank] = await ParameterServer.create({
          ...{ store, device: rank === 0 ? watched(device) : device, protocol: v2Protocol() },
          ...{ sharePools: true, broadcast: shm() },
        });
      }),
    );
    for (const name of ['a', 'b']) {
      pools.length = 0;
      const tensors = tensorsOf();
      const own = (rank: number) => ({ tensors: tensors.filter((_, at) => at % RANKS === rank) });
      await Promise.all(servers.map((server, rank) => server.registerCheckpoint(name, own(rank))));
      await Promise.all(servers.map((server) => server.gatherMetas(name)));
    }
    // The first update is loaded, and proves what later ones pull.
    await update('a', 'off');
    expect((await update('b', 'sample')).method).toBe('pull');
  }, 600_000);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.close()));
    for (const close of closers) await close();
  });

  function watched(device: HostDevice): HostDevice {
    const allocateHost = async (...args: Parameters<HostDevice['allocateHost']>) => {
      const memory = await device.allocateHost(...args);
      pools.push(memory);
      return memory;
    };
    return new Proxy(device, {
      get(target, key) {
        if (key === 'allocateHost') return allocateHost;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  async function update(name: string, verify: 'off' | 'sample' | 'full') {
    const requestEngine = async ({ handles }: { readonly handles: Readonly<Record<string, string>> }) => {
      await Promise.all(workers.map((worker) => worker.ask({ handles })));
    };
    const options = { inferenceParallelSize: RANKS, timeoutMs: 240_000, verify, requestEngine };
    const outcomes = await Promise.allSettled(servers.map((server) => server.update(name, options)));
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    // A rank whose engine ends because another rank has ended its worker may fail with the engine's error.
    const found = failures.find((failure) => (failure as { code?: string }).code === 'CE_DIGEST_MISMATCH');
    if (failures.length > 0) throw found ?? failures[0];
    return (outcomes[0] as PromiseFulfilledResult<Awaited<ReturnType<ParameterServer['update']>>>).value;
  }

  const digests = (): Promise<unknown[]> => Promise.all(workers.map((worker) => worker.ask({ digest: true })));

  async function expectFound(name: string, verify: 'sample' | 'full'): Promise<void> {
    const failure = await update(name, verify).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'CE_DIGEST_MISMATCH', op: 'verify', rank: expect.any(Number) });
    const { tensor, detail } = failure as { tensor: string; detail: string };
    const facts = JSON.parse(detail) as Record<string, unknown>;
    expect(facts).toMatchObject({ tensor, leg: 'engine', offsetBytes: expect.any(Number) });
    expect(facts.sizeBytes).toBeGreaterThan(0);
    expect(facts.expected).toMatch(/^[0-9a-f]{16}$/);
    expect(facts.seen).toMatch(/^[0-9a-f]{16}$/);
    expect(facts.seen).not.toBe(facts.expected);
  }

  const FAULTS = ['flipped bit', 'cleared bytes', 'shifted bytes', 'wrong place', 'skipped box', 'shifted source'];
  it.each(FAULTS.flatMap((fault) => [[fault, 'sample'] as const, [fault, 'full'] as const]))(
    'find this in a worker: %s (%s)',
    async (fault, verify) => {
      await update('b', 'off');
      const right = await digests();
      await update('a', 'off');
      await workers[1]!.ask({ fault });
      try {
        await expectFound('b', verify);
      } finally {
        await workers[1]!.ask({ fault: '' });
      }
      const { verified } = await update('b', verify);
      expect(verified).toMatchObject({ unverifiedTensors: 0 });
      expect(await digests()).toEqual(right);
    },
  );

  it.each(['sample', 'full'] as const)('find a flipped bit in the pool (%s)', async (verify) => {
    const bytes = pools[0]!.view(1000, 1);
    bytes[0]! ^= 64;
    await expectFound('b', verify);
    bytes[0]! ^= 64;
    expect((await update('b', verify)).verified).toMatchObject({ unverifiedTensors: 0 });
  });
});
