import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engines } from './environment.ts';

const START_MS = 900_000;
const LOG_CHARACTERS = 1_000_000;

/** A vLLM server in its own process group. */
export class VllmServer {
  readonly url: string;
  readonly #child: ChildProcess;
  #log = '';

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARACTERS);
      });
    }
  }

  /** Starts a server, and resolves when it answers. */
  static async start(
    { python, env: own }: Engines,
    model: string,
    flags: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<VllmServer> {
    const env = { ...own, ...more };
    const port = await freePort();
    const args = [
      ...['-m', 'vllm.entrypoints.openai.api_server', '--model', model, '--served-model-name', 'tiny'],
      ...['--host', '127.0.0.1', '--port', String(port), '--skip-tokenizer-init', '--enforce-eager'],
      ...['--enable-scale-out', '--max-model-len', '256', '--max-num-seqs', '4', '--dtype', 'bfloat16'],
      ...flags,
    ];
    const child = spawn(python, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new VllmServer(child, `http://127.0.0.1:${port}`);
    const endsAt = performance.now() + START_MS;
    while (performance.now() < endsAt && child.exitCode === null) {
      const isUp = await fetch(`${server.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return server;
      await sleep(500);
    }
    await server.close();
    throw new Error(`vLLM did not start:\n${server.#log}`);
  }

  /** The end of its output. */
  get log(): string {
    return this.#log;
  }

  /** Greedy answers by prompt. */
  async tokens(prompts: readonly (readonly number[])[]): Promise<number[][]> {
    const answers: number[][] = [];
    for (const token_ids of prompts) {
      const sampling_params = { temperature: 0, max_tokens: 16 };
      const { choices } = (await this.post('/inference/v1/generate', {
        model: 'tiny',
        token_ids,
        sampling_params,
      })) as {
        choices: { token_ids: number[] }[];
      };
      answers.push(choices[0]!.token_ids);
    }
    return answers;
  }

  /** Calls a method of the workers and returns their results. */
  async rpc(method: string, args: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    const { results } = (await this.post('/collective_rpc', { method, args, timeout: 60 })) as {
      results: Record<string, unknown>[];
    };
    return results;
  }

  /** @throws {Error} The status is not 200; the message has the status and the text. */
  async post(path: string, body: unknown): Promise<unknown> {
    const reply = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** The process that holds the model. */
  workerPid(): number {
    const found = descendants(this.#child.pid!).find(({ name }) => /Worker/.test(name));
    if (!found) throw new Error('vLLM has no process with "Worker" in its name');
    return found.pid;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Ends the server and its children. Idempotent. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    process.kill(-this.#child.pid!, 'SIGTERM');
    const timer = setTimeout(() => process.kill(-this.#child.pid!, 'SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
    try {
      process.kill(-this.#child.pid!, 'SIGKILL');
    } catch {
      // The whole group has ended.
    }
  }
}

function descendants(pid: number): { readonly pid: number; readonly name: string }[] {
  const children = readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '))
    .filter(Boolean)
    .map(Number);
  return children.flatMap((child) => {
    const name = readFileSync(`/proc/${child}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return [{ pid: child, name }, ...descendants(child)];
  });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
