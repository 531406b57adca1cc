import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const OWN = fileURLToPath(new URL('../python/.venv/bin/python', import.meta.url));

/** The Python for tests: `CHECKPOINT_ENGINE_PYTHON`, the Python of `tools/python/make-env.sh`, or `python3`. */
export const python: string = process.env.CHECKPOINT_ENGINE_PYTHON ?? (existsSync(OWN) ? OWN : 'python3');

const ENGINES = fileURLToPath(new URL('../python/.engines', import.meta.url));

/** Folders of unpacked packages that `tools/python/make-engines.sh` fetched, by their versions. */
export function fetchedPackages(name: string): { readonly version: string; readonly folder: string }[] {
  if (!existsSync(ENGINES)) return [];
  return readdirSync(ENGINES)
    .filter((folder) => folder.startsWith(`${name}-`))
    .map((folder) => ({ version: folder.slice(name.length + 1), folder: join(ENGINES, folder) }));
}

/** The release of the Python tool that tests of its HTTP API use, unless one is installed. */
const TOOL_VERSION = '0.4.2';

/** The Python tool's API module: the environment to import it in, or the reason why it cannot be imported. */
export function pythonTool(): { readonly reason: string | undefined; readonly env: NodeJS.ProcessEnv } {
  const unpacked = fetchedPackages('checkpoint-engine').find(({ version }) => version === TOOL_VERSION);
  const env = unpacked === undefined ? process.env : { ...process.env, PYTHONPATH: unpacked.folder };
  return { reason: probe(['checkpoint_engine.api'], 'import checkpoint_engine.api', env), env };
}

/** Returns and prints the reason why a test cannot use these Python modules, or returns `undefined` if it can. */
export function reasonToSkip(...modules: string[]): string | undefined {
  return probe(modules, modules.map((module) => `import ${module}`).join('\n'));
}

/** Does the same for a test that only reads a package's sources, without importing it. */
export function reasonToSkipSources(name: string): string | undefined {
  const code = `import importlib.util\nif importlib.util.find_spec("${name}") is None: raise SystemExit("it is not installed")`;
  return probe([`the sources of ${name}`], code);
}

function probe(modules: readonly string[], code: string, env?: NodeJS.ProcessEnv): string | undefined {
  const probe = spawnSync(python, ['-c', code], { encoding: 'utf8', ...(env ? { env } : {}) });
  if (probe.status === 0) return undefined;
  const cause = probe.error?.message ?? probe.stderr.trim().split('\n').at(-1);
  const reason = `${python} with ${modules.join(', ')} is missing: ${cause}`;
  console.warn(`skipped: ${reason}`);
  return reason;
}
