import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { callNative } from '@checkpoint-engine/native-kit';
import { native } from './native.ts';

const FILE = 'libnccl.so.2';

/**
 * Files that may be NCCL, in search order: only `CHECKPOINT_ENGINE_NCCL_LIB` if it is set;
 * otherwise the library that the loader finds, then the `nvidia/nccl/lib` folders of the known Python installations.
 */
export function ncclCandidates(env: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const chosen = env.CHECKPOINT_ENGINE_NCCL_LIB;
  if (chosen !== undefined && chosen !== '') return [chosen];
  const folders = pythonPrefixes(env).flatMap(sitePackages);
  const files = folders.map((folder) => join(folder, 'nvidia', 'nccl', 'lib', FILE)).filter((file) => existsSync(file));
  return [...new Set([FILE, ...files])];
}

/** Prefixes of Python installations: the active environment, the one of `python3` on the PATH, the system's. */
function pythonPrefixes(env: Readonly<Record<string, string | undefined>>): string[] {
  const onPath = (env.PATH ?? '')
    .split(':')
    .filter((folder) => folder !== '' && existsSync(join(folder, 'python3')))
    .map((folder) => dirname(folder));
  const user = env.HOME === undefined ? undefined : join(env.HOME, '.local');
  const prefixes = [env.VIRTUAL_ENV, env.CONDA_PREFIX, ...onPath, user, '/usr/local', '/usr'];
  return prefixes.filter((prefix): prefix is string => prefix !== undefined && prefix !== '');
}

function sitePackages(prefix: string): string[] {
  const lib = join(prefix, 'lib');
  if (!existsSync(lib)) return [];
  return readdirSync(lib)
    .filter((name) => /^python3/.test(name))
    .flatMap((name) => [join(lib, name, 'site-packages'), join(lib, name, 'dist-packages')]);
}

/** The NCCL library that this process uses. */
export interface NcclLibrary {
  readonly path: string;
  /** Version, such as `2.28.9`. */
  readonly version: string;
}

/**
 * Opens NCCL. Requires `--allow-ffi` under Deno.
 *
 * @throws `CE_LIBRARY_NOT_FOUND` naming all searched files, `CE_LIBRARY_TOO_OLD` naming the library that was found.
 */
export function openNccl(): NcclLibrary {
  return callNative(() => native().open(ncclCandidates()));
}

/** Checks whether NCCL can be used on this machine, and returns the reason if not. Never throws. */
export function ncclAvailability():
  | ({ readonly available: true } & NcclLibrary)
  | {
      readonly available: false;
      readonly reason: string;
      readonly hint: string;
    } {
  try {
    return { available: true, ...openNccl() };
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
    return { available: false, reason: [error.message, error.detail].filter(Boolean).join('\n'), hint: error.hint };
  }
}
