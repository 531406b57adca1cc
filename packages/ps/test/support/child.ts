import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';

type Reply = { id: number; ok?: unknown; error?: SerializedError };

/** Maximum number of notes that are kept, and characters of a call's arguments. */
const MAX_NOTES = 60;
const MAX_NOTED = 100;

/** A process that answers calls. Calls of a process that ended reject. */
export class Child {
  readonly process: ChildProcess;
  /** What happened to it, for tests that fail: calls, replies and its end, with the time in milliseconds. */
  readonly notes: { readonly atMs: number; readonly text: string }[] = [];
  readonly #pending = new Map<number, { call: string; resolve(value: unknown): void; reject(error: unknown): void }>();
  #nextId = 0;

  /** @param runner A program and its arguments that start the process, Node's path appended. @default Node itself */
  constructor(
    script: 'rank-process' | 'worker-process' | 'pull-worker-process',
    args: readonly string[] = [],
    runner: readonly string[] = [],
  ) {
    const [execPath = process.execPath, ...execArgv] = runner.length > 0 ? [...runner, process.execPath] : [];
    this.process = fork(fileURLToPath(new URL(`./${script}.mjs`, import.meta.url)), [...args], { execPath, execArgv });
    this.process.on('message', (message: Reply | string) => {
      if (typeof message === 'object' && 'id' in message) this.#settle(message);
    });
    this.note(`${script} ${args.join(' ')} starts as ${this.process.pid}`);
    this.process.on('exit', (code, signal) => {
      this.note(`ended with ${code ?? signal}`);
      for (const { reject } of this.#pending.values()) reject(new Error(`${script} ended with ${code ?? signal}`));
      this.#pending.clear();
    });
  }

  get isAlive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  call<T>(call: string, args: object | null = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { call, resolve: resolve as (value: unknown) => void, reject });
      this.note(`${call} ${JSON.stringify(args)?.slice(0, MAX_NOTED) ?? ''}`);
      this.process.send({ id, call, args }, (error) => error && reject(error)); // it has ended, or is about to
    });
  }

  note(text: string): void {
    this.notes.push({ atMs: performance.now(), text });
    if (this.notes.length > MAX_NOTES) this.notes.shift();
  }

  /** Sends a signal, and notes it. */
  signal(signal: NodeJS.Signals): void {
    this.note(signal);
    this.process.kill(signal);
  }

  /** Ends the process, by its own `close` if it still lives. */
  async end(): Promise<void> {
    if (!this.isAlive) return;
    const exited = once(this.process, 'exit');
    this.call('close').catch(() => {});
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  }

  async kill(): Promise<void> {
    if (!this.isAlive) return;
    const exited = once(this.process, 'exit');
    this.signal('SIGKILL');
    await exited;
  }

  #settle({ id, ok, error }: Reply): void {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    this.note(`${call?.call}: ${error === undefined ? 'done' : JSON.stringify(error)}`);
    if (error !== undefined) call?.reject(CheckpointEngineError.fromJSON(error));
    else call?.resolve(ok);
  }
}
