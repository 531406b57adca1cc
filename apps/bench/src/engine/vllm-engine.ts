import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';
import type { WorkerMemory } from './device-memory.ts';

/** A vLLM server that a scenario starts. */
export interface VllmOptions {
  /** Python with vLLM and checkpoint-engine. */
  readonly python: string;
  /** Folder with the model's config; its weights are random until the first update. */
  readonly model: string;
  readonly ranks: number;
  /** Further arguments of the server. */
  readonly args: readonly string[];
}

/** Prompts whose greedy continuations are compared. */
const PROMPTS: readonly (readonly number[])[] = [
  [5, 9, 77, 1234],
  [42, 1242, 99],
];
const TOKENS = 12;
/** Time limit of a start, which compiles and captures graphs. */
const READY_MS = 300_000;
const PYTHON_FOLDER = fileURLToPath(new URL('../../python/', import.meta.url));

/** A real vLLM server, which is started here or already running. */
export class VllmEngine {
  readonly url: string;
  readonly #child: ChildProcess | undefined;
  readonly #logPath: string | undefined;

  private constructor(url: string, child?: ChildProcess, logPath?: string) {
    this.url = url;
    this.#child = child;
    this.#logPath = logPath;
  }

  /** A server that is already running, with the extension of `python/vllm_extension.py`. */
  static at(url: string): VllmEngine {
    return new VllmEngine(url.replace(/\/$/, ''));
  }

  /** Starts one with random weights, and waits until it serves. */
  static async start({ python, model, ranks, args }: VllmOptions): Promise<VllmEngine> {
    const port = await freePort();
    const logPath = join(mkdtempSync(join(tmpdir(), 'bench-vllm-')), 'vllm.log');
    const log = openSync(logPath, 'a');
    const all = ['-m', 'vllm.entrypoints.openai.api_server', '--model', model, '--served-model-name', 'm'];
    all.push('--host', '127.0.0.1', '--port', `${port}`, '--load-format', 'dummy', '--skip-tokenizer-init');
    all.push('--tensor-parallel-size', `${ranks}`, '--worker-extension-cls', 'vllm_extension.BenchExtension', ...args);
    const { PYTHONPATH } = process.env;
    const env = {
      ...process.env,
      PYTHONPATH: PYTHONPATH === undefined ? PYTHON_FOLDER : `${PYTHON_FOLDER}:${PYTHONPATH}`,
      VLLM_SERVER_DEV_MODE: '1',
      VLLM_NO_USAGE_STATS: '1',
      HF_HUB_OFFLINE: '1',
    };
    // In a separate process group, because it starts workers that do not end with it.
    const child = spawn(python, all, { stdio: ['ignore', log, log], env, detached: true });
    const engine = new VllmEngine(`http://127.0.0.1:${port}`, child, logPath);
    try {
      await engine.#untilReady();
    } catch (error) {
      await engine.stop();
      throw error;
    }
    return engine;
  }

  /** The model's answers to fixed prompts. */
  async tokens(): Promise<readonly (readonly number[])[]> {
    const answers: (readonly number[])[] = [];
    for (const token_ids of PROMPTS) {
      const sampling_params = { temperature: 0, max_tokens: TOKENS, ignore_eos: true };
      const answer = await this.#post('/inference/v1/generate', { model: 'm', token_ids, sampling_params });
      answers.push((answer as { choices: readonly { token_ids: readonly number[] }[] }).choices[0]!.token_ids);
    }
    return answers;
  }

  /** One digest of all parameters for each worker. */
  async digests(): Promise<readonly string[]> {
    const { results } = (await this.#post('/collective_rpc', { method: 'bench_digest' })) as {
      results: readonly { readonly digest: string }[];
    };
    return results.map(({ digest }) => digest);
  }

  /** Begins to watch the device memory of all workers. */
  async watchMemory(): Promise<void> {
    await this.#post('/collective_rpc', { method: 'bench_watch_memory', args: [true] });
  }

  /** The workers' figures since {@link VllmEngine.watchMemory}. */
  async seenMemory(): Promise<readonly Partial<WorkerMemory>[]> {
    const call = { method: 'bench_watch_memory', args: [false] };
    return ((await this.#post('/collective_rpc', call)) as { results: readonly Partial<WorkerMemory>[] }).results;
  }

  /** Whether the workers offer their receiver, if they have one. */
  async offerReceiver(offers: boolean): Promise<void> {
    await this.#post('/collective_rpc', { method: 'bench_offer', args: [offers] });
  }

  /** Ends a server that was started here. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      process.kill(-child.pid, 'SIGTERM');
      await Promise.race([exited, sleep(10_000, undefined, { ref: false })]);
    }
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // All processes of its group have ended.
    }
  }

  async #untilReady(): Promise<void> {
    const endsAt = performance.now() + READY_MS;
    for (;;) {
      const isReady = await fetch(`${this.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isReady) return;
      if (this.#child!.exitCode !== null || performance.now() > endsAt) {
        throw new Error(`vLLM did not start:\n${readFileSync(this.#logPath!, 'utf8').slice(-3000)}`);
      }
      await sleep(500);
    }
  }

  async #post(path: string, body: object): Promise<unknown> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(this.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${text.slice(0, 500)}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}
