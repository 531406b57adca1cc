import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Loads the native addon of a package: the one built in its `build/`, or else the one shipped in its
 * `prebuilds/<platform>-<arch>/`. Where the environment variable `CHECKPOINT_ENGINE_ADDONS` names a folder of the
 * package (`build/sanitize`), only that one counts.
 *
 * @param packageUrl URL of the package's folder, with a slash at its end: `new URL('../', import.meta.url)`.
 * @param name       Name of the addon, as in `ce_<name>.node`.
 * @typeParam T      What the addon exports.
 * @throws `CE_LIBRARY_NOT_FOUND` when there is none, or the system refuses to load it.
 */
export function loadAddon<T>(packageUrl: URL | string, name: string): T {
  const file = `ce_${name}.node`;
  const chosen = process.env.CHECKPOINT_ENGINE_ADDONS;
  const folders = chosen ? [chosen] : ['build', `prebuilds/${process.platform}-${process.arch}`];
  const candidates = folders.map((folder) => fileURLToPath(new URL(`${folder}/${file}`, packageUrl)));
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new CheckpointEngineError(
      'CE_LIBRARY_NOT_FOUND',
      `The native addon "${name}" was not found: looked for ${candidates.join(' and ')}`,
      'Run `npm run build` in the repository, or install the package on a platform that it ships an addon for (linux-x64, glibc)',
      { op: 'loadAddon', file: candidates[0] },
    );
  }
  try {
    return createRequire(import.meta.url)(path) as T;
  } catch (cause) {
    throw new CheckpointEngineError(
      'CE_LIBRARY_NOT_FOUND',
      `The native addon ${path} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Run `npm run build` again on this machine; under Deno, allow native code with --allow-ffi',
      { op: 'loadAddon', file: path, cause },
    );
  }
}
