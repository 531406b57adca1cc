import { type ChildProcess, fork } from 'node:child_process';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { serveHub } from '../store/socket-link.ts';
import { StoreHub } from '../store/store-hub.ts';
import { makeMember } from './member.ts';
import { MemberCalls } from './member-calls.ts';
import { type MemberArguments, storePath } from './member-protocol.ts';
import type { World } from './world.ts';
import { newWorldName } from './world-name.ts';

/** Options of {@link processes}. */
export interface ProcessesOptions {
  /** Environment variables for the members, in addition to those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Options of the runtime: `['--expose-gc']`. */
  readonly execArgv?: readonly string[] | undefined;
  /** Time for a member to exit after it was shut down. @default 10 s */
  readonly exitTimeoutMs?: number | undefined;
}

const memberMain = fileURLToPath(new URL('./member-main.js', import.meta.url));

/** A world with one process per member. Its factories are URLs of modules that the runtime can import. */
export function processes({ env = {}, execArgv = [], exitTimeoutMs = 10_000 }: ProcessesOptions = {}): World {
  return {
    name: 'one process per member',
    async start(kind, factory, size) {
      if (!(factory instanceof URL)) throw new TypeError('Members in separate processes need the URL of a module');
      const worldName = newWorldName();
      const server = serveHub(new StoreHub(), storePath(worldName));
      const children: ChildProcess[] = [];
      const exits: Promise<void>[] = [];
      const start = async (rank: number) => {
        const args: MemberArguments = { kind, factory: factory.href, rank, worldSize: size, worldName };
        const options = { env: { ...process.env, ...env }, execArgv: [...execArgv] };
        const child = fork(memberMain, [JSON.stringify(args)], options);
        const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
        children.push(child);
        exits.push(exited);
        const calls = new MemberCalls(rank, child);
        await calls.ready;
        return makeMember<never>(control(rank, child, calls, exited), (name, args) => calls.call(name, args));
      };
      const starting = Promise.all(Array.from({ length: size }, (_, rank) => start(rank)));
      void Promise.all(exits).then(() => server.close());
      try {
        return await starting;
      } catch (error) {
        for (const child of children) child.kill('SIGKILL');
        throw error;
      }
    },
  };

  function control(rank: number, child: ChildProcess, calls: MemberCalls, exited: Promise<void>) {
    let closed: Promise<void> | undefined;
    const kill = async () => {
      closed ??= Promise.resolve();
      child.kill('SIGKILL');
      await exited;
    };
    const shutDown = async () => {
      const timer = new AbortController();
      const late = sleep(exitTimeoutMs, true, { signal: timer.signal }).catch(() => false);
      try {
        const shut = calls.call('shutDown', undefined).finally(() => child.connected && child.disconnect());
        const ended = shut.then(() => exited);
        if (await Promise.race([ended.then(() => false), late])) {
          throw new Error(`The process of rank ${rank} did not end within ${exitTimeoutMs} ms after its shutdown`);
        }
      } finally {
        timer.abort();
        child.kill('SIGKILL');
      }
    };
    return {
      rank,
      kill,
      close: () => {
        closed ??= shutDown();
        return closed;
      },
    };
  }
}
