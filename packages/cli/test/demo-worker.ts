import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** An engine on the host for tests: the command's own demo worker at a Unix socket. */
export interface TestWorker {
  readonly pid: number;
  /** SHA-256 of every tensor that it holds, by name. */
  digests(): Promise<Map<string, string>>;
  close(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
}

/** Starts a worker for the host device of this index; resolves when it listens. */
export async function startTestWorker(index: number, socket: string): Promise<TestWorker> {
  const child: ChildProcess = spawn(execPath, [MAIN, 'demo-worker', `${index}`, 'host', socket, 'silent'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  await lines.next();
  const end = async (how: () => void): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    how();
    await exited;
  };
  return {
    pid: child.pid!,
    digests: async () => {
      child.stdin!.write('{"type":"describe"}\n');
      const { value } = await lines.next();
      const { tensors } = JSON.parse(value) as { tensors: Record<string, { digest: string }> };
      return new Map(Object.entries(tensors).map(([name, { digest }]) => [name, digest]));
    },
    close: () => end(() => child.stdin!.end()),
    kill: () => end(() => child.kill('SIGKILL')),
  };
}
