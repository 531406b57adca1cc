import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** How a command ended and what it printed. */
export interface CliResult {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface RunningCli {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
  /** Resolves when standard output and standard error together match. */
  untilPrinted(pattern: RegExp): Promise<string>;
}

/** Options of {@link startCli}. */
export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** @default this Node.js */
  readonly runtime?: readonly string[];
}

/** Starts the built command in an environment without a launcher's variables. */
export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  const [file = execPath, ...runtimeArgs] = options.runtime ?? [];
  const { RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT, PS_MEM_FRACTION, PS_MAX_BUCKET_SIZE_GB, ...rest } =
    env;
  const child = spawn(file, [...runtimeArgs, MAIN, ...args], {
    env: { ...rest, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const listeners = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    for (const listener of listeners) listener();
  });
  const result = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
    stdout,
    stderr,
  }));
  const untilPrinted = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const text = stdout + stderr;
        if (!pattern.test(text)) return;
        listeners.delete(check);
        resolve(text);
      };
      listeners.add(check);
      result.then(() => reject(new Error(`Ended without printing ${pattern}:\n${stdout}${stderr}`)));
      check();
    });
  return { child, result, untilPrinted };
}

/** Runs the built command to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, options).result;
}

/** The JSON object that a command printed, and nothing else. */
export function parseJson<T = unknown>(result: CliResult): T {
  return JSON.parse(result.stdout);
}
