import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mooncakeAvailability } from '@checkpoint-engine/transport-rdma';

const distribution = 'mooncake-transfer-engine-non-cuda';
export const version = '0.3.13.post1';
export const oldVersion = '0.3.1';
const cache = fileURLToPath(new URL('../../../../node_modules/.cache/checkpoint-engine/', import.meta.url));
const installMs = 300_000;

/** A Python with the pinned Mooncake, or the reason why there is none. */
export interface MooncakeForTests {
  readonly python: string;
  /** Set if the tests must be skipped. */
  readonly missing: string | undefined;
}

/**
 * Installs the pinned Mooncake into a virtual environment in the cache, once. With `REQUIRE_MOONCAKE=1` any obstacle
 * is an error; otherwise the tests are skipped, and the reason is printed.
 */
export async function mooncakeForTests(): Promise<MooncakeForTests> {
  const { python, missing } = environmentWith(distribution, version);
  return { python, missing: told(missing ?? (await unusable(python)), 'Mooncake') };
}

/** Installs an old Mooncake in the same way, which lacks functions that the transport needs. */
export function oldMooncakeForTests(): MooncakeForTests {
  const { python, missing } = environmentWith('mooncake-transfer-engine', oldVersion);
  return { python, missing: told(missing ?? notImportable(python), 'an old Mooncake') };
}

/** Returns the reason why Python cannot load the module: a system library such as libibverbs may be missing. */
function notImportable(python: string): string | undefined {
  try {
    run(python, ['-c', 'import mooncake.engine']);
    return undefined;
  } catch (error) {
    const { message, stderr } = error as Error & { stderr?: string };
    return stderr?.trim().split('\n').at(-1) || message;
  }
}

/** A virtual environment with one wheel. */
function environmentWith(distribution: string, version: string): MooncakeForTests {
  const folder = join(cache, `mooncake-${version}`);
  const python = join(folder, 'bin', 'python3');
  const missing = installOnce(folder, python, `${distribution} ${version}`, (fresh) => {
    run('python3', ['-m', 'venv', fresh]);
    const wheel = `${distribution}==${version}`;
    run(join(fresh, 'bin', 'python3'), ['-m', 'pip', 'install', '-q', '--no-deps', '--only-binary=:all:', wheel]);
  });
  return { python, missing };
}

/** Creates `folder` with `file` in it, unless it exists. Returns the obstacle, if there is one. */
function installOnce(folder: string, file: string, what: string, make: (fresh: string) => void): string | undefined {
  if (existsSync(file)) return undefined;
  const fresh = `${folder}-${process.pid}`;
  mkdirSync(cache, { recursive: true });
  try {
    make(fresh);
    renameSync(fresh, folder); // The first process wins.
    return undefined;
  } catch (error) {
    if (existsSync(file)) return undefined;
    const { message, stderr } = error as Error & { stderr?: string };
    return `${what} cannot be installed: ${stderr?.trim().split('\n').at(-1) || message}`;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function run(file: string, args: readonly string[]): void {
  execFileSync(file, args, { timeout: installMs, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
}

function told(missing: string | undefined, what: string): string | undefined {
  if (missing !== undefined && process.env.REQUIRE_MOONCAKE === '1') throw new Error(missing);
  if (missing !== undefined) console.warn(`Tests with ${what} are skipped: ${missing}`);
  return missing;
}

async function unusable(python: string): Promise<string | undefined> {
  const found = await mooncakeAvailability(python);
  return found.available ? undefined : found.reason;
}

/** A Mooncake with the C API and its environment, or the reason why there is none. */
export interface LibraryForTests {
  readonly env: Readonly<Record<string, string>>;
  readonly missing: string | undefined;
}

/**
 * Installs the only build of the registry that has the C API: the one for Ascend. TCP does not use Ascend, so
 * empty libraries replace its driver.
 */
export async function libraryForTests(): Promise<LibraryForTests> {
  const folder = join(cache, `mooncake-library-${version}`);
  const env = {
    CHECKPOINT_ENGINE_MOONCAKE_LIB: join(folder, 'mooncake', 'libtransfer_engine.so'),
    LD_LIBRARY_PATH: join(folder, 'driver'),
  };
  const wheel = `mooncake-transfer-engine-npu==${version}`;
  const missing = installOnce(folder, env.CHECKPOINT_ENGINE_MOONCAKE_LIB, wheel, (fresh) => {
    run('python3', ['-m', 'pip', 'install', '-q', '--no-deps', '--only-binary=:all:', '--target', fresh, wheel]);
    mkdirSync(join(fresh, 'driver'));
    for (const name of ['ascendcl', 'llm_datadist', 'metadef']) {
      run('cc', ['-shared', '-x', 'c', '/dev/null', '-o', join(fresh, 'driver', `lib${name}.so`)]);
    }
  });
  return { env, missing: told(missing, "Mooncake's C API") };
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
