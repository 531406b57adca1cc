import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import { type ChildScript, start } from './children.ts';

/** Calls by name, each with one argument that survives JSON. */
export type Calls<T> = { readonly [Name in keyof T]: (args: never) => Promise<unknown> };

type Argument<Call> = Call extends (args: infer Args) => Promise<unknown> ? Args : never;
type Answer<Call> = Call extends (args: never) => Promise<infer Result> ? Result : never;
type Reply = { readonly id: number; readonly ok?: unknown; readonly error?: SerializedError };

/** A process that executes its parent's calls through `serveCalls`. Calls of a dead process reject. */
export class DrivenProcess<T extends Calls<T>> {
  readonly exited: Promise<unknown>;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  #nextId = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message: Reply | 'ready') => {
      if (message !== 'ready') this.#settle(message);
    });
    this.exited = once(child, 'exit').then(([code, signal]) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`The process ended with ${signal ?? code}`));
      this.#pending.clear();
    });
  }

  /** Resolves when it serves. `task` is its only argument, in JSON. */
  static async start<T extends Calls<T>>(
    script: ChildScript,
    task: unknown,
    env: Readonly<Record<string, string>> = {},
    runner: readonly string[] = [],
  ): Promise<DrivenProcess<T>> {
    const child = start(script, [JSON.stringify(task)], env, runner);
    const driven = new DrivenProcess<T>(child);
    await Promise.race([
      once(child, 'message'),
      driven.exited.then(() => Promise.reject(new Error(`${script} ended before it was ready`))),
    ]);
    return driven;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  call<Name extends keyof T>(name: Name, args: Argument<T[Name]>): Promise<Answer<T[Name]>> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, call: name, args });
    });
  }

  /** Requests it to close, and kills it if it does not end. Returns whether it ended by itself. */
  async end(): Promise<boolean> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return true;
    this.#child.send({ id: -1, call: 'close', args: null });
    const timer = setTimeout(() => this.kill(), 20_000);
    await this.exited;
    clearTimeout(timer);
    return this.#child.exitCode === 0;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #settle({ id, ok, error }: Reply): void {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) call?.resolve(ok);
    else call?.reject(CheckpointEngineError.fromJSON(error));
  }
}
