import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import { start } from '../world/children.ts';
import type { RankIdentity } from '../world/open-rank.ts';

/** What the parent passes as the only argument, in JSON. */
export interface KillRankTask extends RankIdentity {
  readonly files: readonly string[];
  readonly bucketBytes: number;
}

/** What a driven rank does. */
export interface RankCalls {
  register(args: null): Promise<void>;
  gather(args: null): Promise<void>;
  update(args: { readonly dieAtBroadcast?: number; readonly releaseCommunicators?: boolean }): Promise<void>;
  /** Of its device. */
  freeBytes(args: null): Promise<number>;
  close(args: null): Promise<void>;
}

type Reply = { readonly id: number; readonly ok?: unknown; readonly error?: SerializedError };

/** A rank in a process of its own. Calls of one that died reject. */
export class DrivenRank {
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
      for (const { reject } of this.#pending.values()) reject(new Error(`The rank ended with ${signal ?? code}`));
      this.#pending.clear();
    });
  }

  /** Resolves when the world is whole. */
  static async start(task: KillRankTask, env: Readonly<Record<string, string>>): Promise<DrivenRank> {
    const child = start('../kill/kill-rank-main', [JSON.stringify(task)], env);
    const rank = new DrivenRank(child);
    await Promise.race([
      once(child, 'message'),
      rank.exited.then(() => Promise.reject(new Error('A rank ended early'))),
    ]);
    return rank;
  }

  call<Name extends keyof RankCalls>(
    call: Name,
    args: Parameters<RankCalls[Name]>[0],
  ): Promise<Awaited<ReturnType<RankCalls[Name]>>> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, call, args });
    });
  }

  /** Closes it, and ends it when it does not end by itself. Tells whether it did. */
  async end(): Promise<boolean> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return true;
    this.call('close', null).catch(() => {});
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000);
    await this.exited;
    clearTimeout(timer);
    return this.#child.exitCode === 0;
  }

  #settle({ id, ok, error }: Reply): void {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) call?.resolve(ok);
    else call?.reject(CheckpointEngineError.fromJSON(error));
  }
}
