import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';

/** A script of `apps/bench/python` that runs as the ranks of a world. */
export interface PythonRanks {
  readonly python: string;
  readonly script: 'reference.py' | 'floors.py' | 'load_safetensors.py' | 'gloo.py';
  readonly worldSize: number;
  readonly args?: ((rank: number) => readonly string[]) | undefined;
}

/**
 * Runs a script once per rank, like a launcher, and returns the last JSON that each rank printed, or `undefined` for a
 * rank that printed nothing. If a rank fails, all are ended, because the others would wait for it.
 */
export async function runPythonRanks<T>({ python, script, worldSize, args }: PythonRanks): Promise<(T | undefined)[]> {
  const path = fileURLToPath(new URL(`../../python/${script}`, import.meta.url));
  const port = await freePort();
  const children: ChildProcess[] = [];
  try {
    return await Promise.all(
      Array.from({ length: worldSize }, (_, rank) => {
        const child = spawn(python, [path, ...(args?.(rank) ?? [])], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: {
            ...process.env,
            RANK: String(rank),
            WORLD_SIZE: String(worldSize),
            LOCAL_RANK: String(rank),
            MASTER_ADDR: '127.0.0.1',
            MASTER_PORT: String(port),
            CHECKPOINT_ENGINE_BENCH_STARTED_AT: String(Date.now() / 1000),
          },
        });
        children.push(child);
        return lastLine<T>(child, `${python} ${path}`);
      }),
    );
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

function lastLine<T>(child: ChildProcess, what: string): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout!.on('data', (chunk) => {
      output += String(chunk);
    });
    child.once('error', reject);
    child.once('close', (code) => {
      const line = output.trim().split('\n').at(-1);
      if (code !== 0) reject(new Error(`${what} ended with ${code}: ${output.slice(-2000)}`));
      else resolve(line ? (JSON.parse(line) as T) : undefined);
    });
  });
}
