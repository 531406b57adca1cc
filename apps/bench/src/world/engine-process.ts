import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';

/** The worker's times during an update, in seconds. */
export interface WorkerClock {
  readonly buckets: number;
  readonly handle_seconds: number;
  /** From the arrival of a bucket's message to its answer: unpickling, copying, synchronizing. */
  readonly bucket_busy_seconds: number;
  /** Waiting for the next bucket, or for the end. */
  readonly bucket_wait_seconds: number;
  readonly release_seconds: number;
  /** The part of this time in each function that it calls; `collect` is the garbage collection. */
  readonly release_call_seconds: Readonly<Record<string, number>>;
  readonly hook_seconds: number;
}

/** The engine's description of itself. */
export interface EngineStats {
  readonly uuid: string;
  readonly device_used_bytes: number;
  /** Memory of its own tensors, and memory including torch's cache. */
  readonly torch_allocated_bytes: number;
  readonly torch_reserved_bytes: number;
  readonly open_files: number;
  readonly updates: number;
  /** Seconds inside the worker's own copies during the last update. */
  readonly load_seconds: number;
  /** Empty before the first update. */
  readonly worker: WorkerClock | Record<string, never>;
  readonly torch: string;
}

/** How the engine's parameters compare with the files. */
export interface Verification {
  readonly tensors: number;
  readonly bytes: number;
  readonly wrong: number;
  readonly first_wrong: readonly string[];
}

/** How the language model that was updated compares with a fresh one. */
export interface LmComparison {
  /** Whether the logits are equal, bit for bit. */
  readonly equal: boolean;
  readonly same_tokens: boolean;
  readonly largest_difference: number;
  readonly tokens: readonly number[];
}

const SCRIPT = fileURLToPath(new URL('../../python/engine.py', import.meta.url));

/** A Python process that receives weights with the unmodified worker of the Python tool. */
export class EngineProcess {
  readonly endpoint: string;
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  /** Starts it and waits until it answers. `args` are further arguments of the script. */
  static async start(python: string, device = 0, args: readonly string[] = []): Promise<EngineProcess> {
    const port = await freePort();
    const child = spawn(python, [SCRIPT, '--port', String(port), '--device', String(device), ...args], {
      // It ends with its standard input, so that no engine stays on the GPU when the parent has died.
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`${python} ${SCRIPT} exited with ${code} before it was ready`)));
      child.stdout!.once('data', () => resolve());
    });
    return new EngineProcess(child, port);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  stats(): Promise<EngineStats> {
    return this.#get('/stats');
  }

  /**
   * Compares every parameter with the checkpoint's files, bit for bit, on the GPU. With `keep` it keeps a copy of
   * correct parameters if the GPU has memory for them, and compares with this copy the next time.
   */
  verify(folder: string, { keep = false }: { readonly keep?: boolean } = {}): Promise<Verification> {
    return this.#get(`/verify?dir=${encodeURIComponent(folder)}${keep ? '&keep=1' : ''}`);
  }

  /** Inverts every bit of every parameter. */
  async corrupt(): Promise<void> {
    await this.#post('/corrupt', {});
  }

  /** Compares the language model's logits and tokens with those of a fresh one loaded from a folder. */
  compareLm(folder: string): Promise<LmComparison> {
    return this.#get(`/lm?dir=${encodeURIComponent(folder)}`);
  }

  /** Injects a fault into the next update; `{}` removes it. */
  async plantFault(fault: object): Promise<void> {
    await this.#post('/fault', fault);
  }

  stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.kill('SIGKILL');
    });
  }

  async #post(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.endpoint}${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.endpoint}${path}`);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}
