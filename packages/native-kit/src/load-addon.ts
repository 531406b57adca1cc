import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Loads the native addon of a package from its `prebuilds/<platform>-<arch>/`, where the build writes it and the
 * published package contains it. If the environment variable `CHECKPOINT_ENGINE_ADDONS` names another folder of the
 * package (`build/sanitize`), the function loads the addon from there.
 *
 * @param packageUrl URL of the package's folder, with a trailing slash: `new URL('../', import.meta.url)`.
 * @param name       Name of the addon, as in `ce_<name>.node`.
 * @typeParam T      The exports of the addon.
 * @throws `CE_LIBRARY_NOT_FOUND` if the addon does not exist, or the system refuses to load it.
 */
export function loadAddon<T>(packageUrl: URL | string, name: string): T {
  const file = `ce_${name}.node`;
  const folder = process.env.CHECKPOINT_ENGINE_ADDONS || `prebuilds/${process.platform}-${process.arch}`;
  const path = fileURLToPath(new URL(`${folder}/${file}`, packageUrl));
  if (!existsSync(path)) {
    throw new CheckpointEngineError(
      'CE_LIBRARY_NOT_FOUND',
      `The native addon "${name}" was not found: looked for ${path}`,
      'Install the package on a platform that it ships an addon for (linux-x64 or linux-arm64, glibc 2.35 or later), or run `npm run build` in the repository',
      { op: 'loadAddon', file: path },
    );
  }
  try {
    return createRequire(import.meta.url)(path) as T;
  } catch (cause) {
    throw new CheckpointEngineError(
      'CE_LIBRARY_NOT_FOUND',
      `The native addon ${path} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      'It needs glibc 2.35 or later: in the repository, run `npm run build` again on this machine; under Deno, allow native code with --allow-ffi',
      { op: 'loadAddon', file: path, cause },
    );
  }
}
