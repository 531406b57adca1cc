import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('store-rank.mjs', import.meta.url));
const DENO = fileURLToPath(new URL('../../../node_modules/@deno/linux-x64-glibc/deno', import.meta.url));

/** An error as a rank process prints it. */
export interface PrintedError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly peer?: number | string;
}

interface Printed {
  readonly id?: number;
  readonly event?: 'joined' | 'refused' | 'failed';
  readonly value?: unknown;
  readonly error?: PrintedError;
}

/** Starts a command that sees only its own processes, as in a container; it ends with this command. */
export const OWN_PROCESSES: readonly string[] = [
  ...['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
];
const probe = spawnSync(OWN_PROCESSES[0]!, [...OWN_PROCESSES.slice(1), 'true'], { encoding: 'utf8' });
/** Why this machine has no {@link OWN_PROCESSES}; `undefined` if it has. */
export const NO_PROCESSES: string | undefined =
  probe.status === 0 ? undefined : `no process namespaces: ${probe.stderr ?? probe.error}`;

/** How a rank process starts. */
export interface Launch {
  readonly runtime?: 'node' | 'deno' | undefined;
  /** Command and arguments that start the process. */
  readonly prefix?: readonly string[] | undefined;
  /** User of the process; another one needs root. */
  readonly uid?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** A rank in a separate process that the test controls. */
export class RankProcess {
  readonly process: ChildProcess;
  /** Resolves with `undefined` when it has joined, or with why it could not. */
  readonly joined: Promise<PrintedError | undefined>;
  /** Resolves when its outermost scope failed. */
  readonly failed: Promise<PrintedError>;
  readonly exited: Promise<number | null>;
  stderr = '';
  readonly #calls = new Map<number, (printed: Printed) => void>();
  #nextId = 1;

  constructor(options: object, { runtime = 'node', prefix = [], uid, env = {} }: Launch = {}) {
    const start = runtime === 'node' ? [process.execPath] : [DENO, 'run', '--allow-all'];
    const [command, ...args] = [...prefix, ...start, SCRIPT, JSON.stringify({ timeoutMs: 20_000, ...options })];
    this.process = spawn(command!, args, { env: { ...process.env, ...env }, ...(uid === undefined ? {} : { uid }) });
    this.process.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
    // Not 'exit', because the last output may not have been read by then.
    this.exited = new Promise((resolve) => this.process.once('close', resolve));
    const lines = createInterface({ input: this.process.stdout! });
    this.joined = new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        const printed: Printed = JSON.parse(line);
        if (printed.event === 'joined' || printed.event === 'refused') resolve(printed.error);
      });
      this.process.once('close', (code) => reject(new Error(`The rank exited with ${code}: ${this.stderr}`)));
    });
    this.joined.catch(() => {});
    this.failed = new Promise((resolve) => {
      lines.on('line', (line) => {
        const printed: Printed = JSON.parse(line);
        if (printed.event === 'failed') resolve(printed.error!);
        if (printed.id !== undefined) this.#calls.get(printed.id)?.(printed);
      });
    });
  }

  /** Runs a command on a scope; rejects with what the rank printed as the error. */
  async call(op: string, on: string, ...args: unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    const answer = new Promise<Printed>((resolve) => this.#calls.set(id, resolve));
    this.process.stdin!.write(`${JSON.stringify({ id, op, on, args })}\n`);
    const { value, error } = await answer;
    if (error !== undefined) throw error;
    return value;
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}
