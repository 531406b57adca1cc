import { access, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { capture } from './capture.ts';
import { parseLdconfig } from './proc-files.ts';

/** Where a shared library may lie. */
export interface LibraryQuery {
  /** The variable that names its path. */
  readonly variable: string;
  /** As the loader knows it: `libnccl.so.2`. */
  readonly soname: string;
  /** Its path inside a Python `site-packages` folder. */
  readonly pythonPath: string;
  /** The start of the Python distribution's name, for its version: `nvidia_nccl_cu`. */
  readonly pythonPackage: string;
}

/** A library that was found. */
export interface FoundLibrary {
  readonly path: string;
  /** How it was found. */
  readonly from: 'environment' | 'loader' | 'python';
  readonly version?: string | undefined;
}

/** Folders that a loader without a cache searches. */
const SYSTEM_FOLDERS = [
  '/usr/local/lib',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/lib',
];

/**
 * Finds a library as the packages that open it do: by its variable, then on the loader's path, then among the Python
 * packages of the `python3` that is on the path.
 *
 * @returns `undefined` when it is nowhere. With the variable set, nothing else is looked at.
 */
export async function findLibrary(query: LibraryQuery, env: Environment): Promise<FoundLibrary | undefined> {
  const named = env[query.variable];
  if (named)
    return (await exists(named)) ? { path: named, from: 'environment', version: await fileVersion(named) } : undefined;
  for (const path of await loaderPaths(query.soname, env)) {
    if (await exists(path)) return { path, from: 'loader', version: await fileVersion(path) };
  }
  for (const folder of await pythonFolders()) {
    const path = join(folder, query.pythonPath);
    if (await exists(path)) return { path, from: 'python', version: await packageVersion(folder, query.pythonPackage) };
  }
  return undefined;
}

async function loaderPaths(soname: string, env: Environment): Promise<string[]> {
  const first = (env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean);
  const cache = (await capture('/sbin/ldconfig', ['-p'])) ?? '';
  const inFolder = (folder: string): string => join(folder, soname);
  return [...first.map(inFolder), ...parseLdconfig(cache, soname), ...SYSTEM_FOLDERS.map(inFolder)];
}

async function pythonFolders(): Promise<string[]> {
  const printed = await capture('python3', ['-c', 'import json, sys; print(json.dumps(sys.path))']);
  return printed === undefined ? [] : (JSON.parse(printed) as string[]).filter(Boolean);
}

/** `libnccl.so.2` is usually a link to `libnccl.so.2.28.9`. */
async function fileVersion(path: string): Promise<string | undefined> {
  return /\.so\.(\d+\.[\d.]+)$/.exec(await realpath(path))?.[1];
}

async function packageVersion(folder: string, start: string): Promise<string | undefined> {
  const names = await readdir(folder);
  for (const name of names) {
    const [, found, version] = /^(.+?)-(.+)\.dist-info$/.exec(name) ?? [];
    if (found?.startsWith(start)) return version;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
