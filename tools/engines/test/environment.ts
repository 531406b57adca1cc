import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const TOOLS = fileURLToPath(new URL('..', import.meta.url));
const WORKER = fileURLToPath(new URL('../../../python/worker', import.meta.url));

/** Time limit of a script that starts an engine, on a busy machine. */
const SCRIPT_MS = 900_000;

/** The kinds of models of `make_model.py`. */
export type ModelKind =
  | 'qwen3'
  | 'qwen3-tied'
  | 'qwen3-odd'
  | 'qwen3-moe'
  | 'qwen3-draft'
  | 'qwen3-eagle3'
  | 'mimo'
  | 'mimo-plain';

/** An environment with an engine, this repository's Python package, and tiny models. */
export interface Engines {
  readonly python: string;
  readonly env: NodeJS.ProcessEnv;
  /** The folder of a model with random weights, created on first use. */
  model(kind: ModelKind, seed: number): string;
  /** The answers of a new engine with this model, by prompt. */
  freshTokens(model: string, prompts: readonly (readonly number[])[], options?: object): Promise<number[][]>;
  /** Runs `in_place.py`. Returns the engine's answers after each update, and the method of each update. */
  inPlace(
    models: readonly [string, string],
    prompts: readonly (readonly number[])[],
    options: object,
  ): Promise<InPlace[]>;
  /** Removes models and package. */
  close(): void;
}

/** One update of `in_place.py`, with the summary of the decisions. */
export interface InPlace {
  readonly tokens: number[][];
  /** Bytes. */
  readonly pulled: number;
  /** Tensors that went through the engine's loader. */
  readonly rest: readonly string[];
  readonly direct: number;
  readonly opaque: number;
  readonly represented: number;
  readonly reasons: string;
}

/** The folder of the environment, or the reason why there is none. */
export function findEnvironment(): { readonly folder: string } | { readonly reason: string } {
  const made = spawnSync(join(TOOLS, 'make-env.sh'), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const reason = made.stderr.trim().split('\n').at(-1) ?? '';
  return made.status === 0 ? { folder: made.stdout.trim() } : { reason: reason || `make-env.sh: ${made.status}` };
}

/** Builds the Python package as for publishing, and makes it precede the installed one. */
export function openEngines(folder: string): Engines {
  const python = join(folder, 'bin/python');
  const work = mkdtempSync(join(tmpdir(), 'ce-engines-'));
  const site = join(work, 'site');
  const build = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--no-index'];
  execFileSync(python, [...build, '--no-build-isolation', '--target', site, WORKER], { stdio: 'inherit' });
  const env = {
    ...process.env,
    PYTHONPATH: `${site}:${TOOLS}`,
    VLLM_SERVER_DEV_MODE: '1',
    VLLM_CPU_KVCACHE_SPACE: '1',
    VLLM_NO_USAGE_STATS: '1',
    HF_HUB_OFFLINE: '1',
    XDG_CACHE_HOME: join(work, 'cache'),
  };
  /** Several scripts run at the same time, because each starts an engine, which takes a minute on one core. */
  const run = async (script: string, args: readonly string[]): Promise<string> => {
    const options = { env, maxBuffer: 64 << 20, timeout: SCRIPT_MS };
    return (await promisify(execFile)(python, [join(TOOLS, script), ...args], options)).stdout;
  };
  const models = new Map<string, string>();
  return {
    python,
    env,
    model(kind, seed) {
      const path = join(work, `${kind}-${seed}`);
      if (!models.has(path)) {
        const args = [join(TOOLS, 'make_model.py'), kind, String(seed), path];
        models.set(path, execFileSync(python, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
      }
      return path;
    },
    async freshTokens(model, prompts, options = {}) {
      const out = await run('fresh_tokens.py', [model, JSON.stringify(prompts), JSON.stringify(options)]);
      return JSON.parse(/^TOKENS (.*)$/m.exec(out)![1]!) as number[][];
    },
    async inPlace(models, prompts, options) {
      const out = await run('in_place.py', [...models, JSON.stringify(options), JSON.stringify(prompts)]);
      return JSON.parse(/^UPDATES (.*)$/m.exec(out)![1]!) as InPlace[];
    },
    close() {
      rmSync(work, { recursive: true, force: true });
    },
  };
}

/** Waits until all promises have settled, and then throws the first failure. */
export async function allOf<T>(running: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(running);
  return await Promise.all(running);
}
