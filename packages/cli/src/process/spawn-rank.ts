import { spawn } from 'node:child_process';
import type { Environment } from '../config/environment.ts';
import { parseMessage, readLines } from './json-lines.ts';
import type { FromRank } from './messages.ts';
import type { RankExit, RankPort, RankPortEvents } from './rank-port.ts';
import { ownCommand } from './runtime.ts';

/** Starts a rank in its own process, with the same program. The rank ends when this process ends. */
export function spawnRank(env: Environment, events: RankPortEvents): RankPort {
  const { file, args } = ownCommand(['rank']);
  const child = spawn(file, args, { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  const exited = new Promise<RankExit>((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, startError: error.message }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const onLine = (line: string): void => {
    const message = parseMessage(line) as FromRank | undefined;
    if (message) events.onMessage(message);
    // Libraries print to any stream.
    else events.onLogLine(line);
  };
  const read = [readLines(child.stdout, onLine), readLines(child.stderr, (line) => events.onLogLine(line))];
  void Promise.all([exited, ...read]).then(([exit]) => events.onExit(exit));
  const send: RankPort['send'] = (message) => {
    if (child.stdin.writable) child.stdin.write(`${JSON.stringify(message)}\n`);
  };
  return {
    send,
    close: () => {
      send({ type: 'close' });
      child.stdin.end();
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
