import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { callNative } from '@checkpoint-engine/native-kit';
import { native } from './native.ts';

const FILE = 'libnccl.so.2';

/**
 * Files that may be NCCL, in the order in which they are tried: `CHECKPOINT_ENGINE_NCCL_LIB` alone where it is set;
 * otherwise what the loader finds, then the `nvidia/nccl/lib` folders of the Python installations in sight.
 */
export function ncclCandidates(env: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const chosen = env.CHECKPOINT_ENGINE_NCCL_LIB;
  if (chosen !== undefined && chosen !== '') return [chosen];
  const folders = pythonPrefixes(env).flatMap(sitePackages);
  const files = folders.map((folder) => join(folder, 'nvidia', 'nccl', 'lib', FILE)).filter((file) => existsSync(file));
  return [...new Set([FILE, ...files])];
}

/** Where Python is installed: the active environment, the one that `python3` of the PATH belongs to, the system's. */
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
  /** `2.28.9` */
  readonly version: string;
}

/**
 * Opens NCCL. Requires `--allow-ffi` under Deno.
 *
 * @throws `CE_LIBRARY_NOT_FOUND` naming all that was searched, `CE_LIBRARY_TOO_OLD` naming what was found.
 */
export function openNccl(): NcclLibrary {
  return callNative(() => native().open(ncclCandidates()));
}

/** Tells whether NCCL can be used on this machine, and why not. Never throws. */
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
