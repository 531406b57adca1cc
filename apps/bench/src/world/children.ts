import { type ChildProcess, fork } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** A program of this bench that runs as a separate process, relative to this folder. */
export type ChildScript =
  | 'rank-main'
  | 'worker-main'
  | '../floors/device-floors-main'
  | '../gather/gather-main'
  | '../plan/plan-main';

/**
 * Starts a program with a message channel.
 *
 * @param runner A program and its arguments that start it, Node's path appended. @default Node itself
 */
export function start(
  script: ChildScript,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  runner: readonly string[] = [],
): ChildProcess {
  const [execPath = process.execPath, ...execArgv] = runner.length > 0 ? [...runner, process.execPath] : [];
  return fork(fileURLToPath(new URL(`./${script}.js`, import.meta.url)), [...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    execPath,
    execArgv,
  });
}

/** The child's next message. Rejects if the child ends first. Messages that it sent before its exit are still read. */
export function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onEnd = (): void => {
      reject(new Error(`Process ${child.spawnargs.join(' ')} ended with ${child.exitCode ?? child.signalCode}`));
    };
    child.once('disconnect', onEnd);
    child.once('message', (value) => {
      child.off('disconnect', onEnd);
      resolve(value as T);
    });
  });
}
