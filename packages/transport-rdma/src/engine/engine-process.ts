import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { encodeFrame, FrameDecoder } from '../frames.ts';
import type { EngineSettings } from '../settings.ts';

const program = fileURLToPath(new URL('../../python/engine.py', import.meta.url));
const maxAnswerBytes = 1 << 20;
const maxLogBytes = 4096;
const exitMs = 2000;

/** The engine's process refused a request, and continues. */
export class EngineRefusal extends Error {
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined) {
    super(message);
    this.status = status;
  }
}

/** The engine's process ended during a request. */
export class EngineEnded extends Error {}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
  readonly status?: number | null;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** A transfer engine in a separate process, which isolates its hangs and crashes. */
export class EngineProcess {
  /** `host:port` under which peers reach this engine. */
  address = '';
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #log = '';
  #ended: EngineEnded | undefined;

  private constructor(settings: EngineSettings) {
    this.#child = spawn(settings.python, [program], {
      env: { ...process.env, ...settings.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const decoder = new FrameDecoder(maxAnswerBytes);
    this.#child.stdout!.on('data', (piece: Uint8Array) => {
      try {
        for (const answer of decoder.push(piece)) this.#settle(answer as Answer);
      } catch (error) {
        this.#end(`sent an invalid answer: ${(error as Error).message}`);
        void this.kill();
      }
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-maxLogBytes);
    });
    this.#child.stdin!.on('error', () => {}); // The process ended: 'close' reports it.
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#end(`cannot be started: ${error.message}`);
        resolve();
      });
      this.#child.once('close', (code, signal) => {
        this.#end(signal === null ? `ended with status ${code}` : `was killed by ${signal}`);
        resolve();
      });
    });
  }

  /**
   * Starts an engine.
   *
   * @throws `CE_LIBRARY_NOT_FOUND` if Python or Mooncake is missing, `CE_TRANSPORT_FAILED` if the engine does not
   *         start, or not in time.
   */
  static async start(settings: EngineSettings): Promise<EngineProcess> {
    const engine = new EngineProcess(settings);
    try {
      const { host, protocol, devices, startTimeoutMs } = settings;
      const args = { host, protocol, devices: devices.join(',') };
      const opened = await engine.call<{ port: number }>('open', args, startTimeoutMs);
      engine.address = `${host.includes(':') ? `[${host}]` : host}:${opened.port}`;
      return engine;
    } catch (error) {
      await engine.kill();
      throw startFailure(error as Error, settings, engine.log);
    }
  }

  /** The reason why the process has ended, if it has. */
  get ended(): EngineEnded | undefined {
    return this.#ended;
  }

  /** Resolves when the process is gone. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  /** The last part of the engine's log. */
  get log(): string {
    return this.#log.trim();
  }

  /**
   * Sends a request and waits for the answer. Ends an engine that does not answer in time.
   *
   * @throws As {@link request}
   */
  async call<T>(op: string, args: object, timeoutMs: number): Promise<T> {
    const timer = setTimeout(() => {
      this.#end(`did not answer "${op}" within ${timeoutMs} ms and was killed`);
      void this.kill();
    }, timeoutMs);
    try {
      return await this.request<T>(op, args).answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a request that can be canceled by its number. @throws {EngineRefusal} @throws {EngineEnded} */
  request<T>(op: string, args: object): { readonly id: number; readonly answer: Promise<T> } {
    const id = this.#nextId++;
    const answer = new Promise<T>((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      this.#pending.set(id, { resolve, reject });
      this.#child.stdin!.write(encodeFrame({ ...args, id, op }));
    });
    return { id, answer };
  }

  /** Requests the early end of a read. */
  cancel(read: number): void {
    if (!this.#ended) this.#child.stdin!.write(encodeFrame({ id: this.#nextId++, op: 'cancel', read }));
  }

  /** Ends the process immediately. When the promise resolves, the process no longer writes to any memory. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Lets the process end by itself, and kills it if it does not. */
  async close(): Promise<void> {
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), exitMs);
    await this.#exited;
    clearTimeout(timer);
  }

  #settle({ id, value, error, status }: Answer): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) pending?.resolve(value as never);
    else pending?.reject(new EngineRefusal(error, status ?? undefined));
  }

  #end(how: string): void {
    this.#ended ??= new EngineEnded(`The transfer engine's process ${how}`);
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

function startFailure(error: Error, { python }: EngineSettings, log: string): Error {
  const missing = /cannot be started|ModuleNotFoundError|ImportError/.test(error.message);
  return new CheckpointEngineError(
    missing ? 'CE_LIBRARY_NOT_FOUND' : 'CE_TRANSPORT_FAILED',
    `Mooncake's transfer engine cannot be used with ${python}: ${error.message}`,
    missing ? installHint : 'Check its log, and the requested devices and protocol',
    { op: 'open', detail: log || undefined, status: (error as Partial<EngineRefusal>).status, cause: error },
  );
}

/** The hint for missing parts. */
export const installHint: string =
  'Install Mooncake for that Python (pip install mooncake-transfer-engine, or mooncake-transfer-engine-non-cuda without CUDA, mooncake-transfer-engine-efa on AWS) and the system packages libibverbs1, libnuma1 and libcurl4';
