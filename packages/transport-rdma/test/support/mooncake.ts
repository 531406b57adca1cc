import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mooncakeAvailability } from '@checkpoint-engine/transport-rdma';

const distribution = 'mooncake-transfer-engine-non-cuda';
export const version = '0.3.13.post1';
const cache = fileURLToPath(new URL('../../../../node_modules/.cache/checkpoint-engine/', import.meta.url));
const installMs = 300_000;

/** A Python with the pinned Mooncake, or why there is none. */
export interface MooncakeForTests {
  readonly python: string;
  /** Set where the tests have to be skipped. */
  readonly missing: string | undefined;
}

/**
 * Installs the pinned Mooncake into a virtual environment in the cache, once. With `REQUIRE_MOONCAKE=1` whatever is in
 * the way is an error; otherwise the tests are skipped, and the reason is printed.
 */
export async function mooncakeForTests(): Promise<MooncakeForTests> {
  const folder = join(cache, `mooncake-${version}`);
  const python = join(folder, 'bin', 'python3');
  const missing = install(folder, python) ?? (await unusable(python));
  if (missing !== undefined && process.env.REQUIRE_MOONCAKE === '1') throw new Error(missing);
  if (missing !== undefined) console.warn(`Tests with Mooncake are skipped: ${missing}`);
  return { python, missing };
}

function install(folder: string, python: string): string | undefined {
  if (existsSync(python)) return undefined;
  const fresh = `${folder}-${process.pid}`;
  mkdirSync(cache, { recursive: true });
  const run = (file: string, args: readonly string[]): void => {
    execFileSync(file, args, { timeout: installMs, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  };
  try {
    run('python3', ['-m', 'venv', fresh]);
    const wheel = `${distribution}==${version}`;
    run(join(fresh, 'bin', 'python3'), ['-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary=:all:', wheel]);
    renameSync(fresh, folder); // whoever comes first
    return undefined;
  } catch (error) {
    if (existsSync(python)) return undefined;
    const { message, stderr } = error as Error & { stderr?: string };
    return `${distribution} ${version} cannot be installed: ${stderr?.trim().split('\n').at(-1) || message}`;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function unusable(python: string): Promise<string | undefined> {
  const found = await mooncakeAvailability(python);
  return found.available ? undefined : found.reason;
}

/** Processes of transfer engines that a process has started. */
export function engineProcesses(parent: number = process.pid): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  return lines
    .filter((line) => line.includes('python/engine.py'))
    .map((line) => line.trim().split(/\s+/).slice(0, 2).map(Number))
    .filter(([, ppid]) => ppid === parent)
    .map(([pid]) => pid!);
}

/** Whether a process runs (a zombie does not). */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
