import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { installHint } from './engine-process.ts';

const program = fileURLToPath(new URL('../../python/engine.py', import.meta.url));
const probeMs = 30_000;

/** A Python that can use Mooncake: through its module, or through the library in `CHECKPOINT_ENGINE_MOONCAKE_LIB`. */
export interface MooncakePython {
  /** Path of its interpreter. */
  readonly python: string;
  /** `library` for Mooncake's C API, `module` for its Python module. */
  readonly origin: 'library' | 'module';
  /** The library, or the module's file. */
  readonly file: string;
  /** `mooncake-transfer-engine` or a variant; `null` if Python does not report it. */
  readonly distribution: string | null;
  /** Version, such as `0.3.13.post1`. */
  readonly version: string | null;
  /** Whether it was built with support for Elastic Fabric Adapters. */
  readonly efa: boolean;
}

const libraryHint =
  'CHECKPOINT_ENGINE_MOONCAKE_LIB must be the path of a libtransfer_engine.so of Mooncake that was built with BUILD_SHARED_LIBS=ON; without it, the Python module is used';

/** The first version with all required functions; 0.3.12 and newer also check where peers read. */
const minVersion = '0.3.4';

interface Probed extends MooncakePython {
  /** Required functions that are missing. */
  readonly lacks: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Interpreters to try, in order: the active environment's, then those of the PATH. */
export function pythonCandidates(env: Environment = process.env): string[] {
  const prefixes = [env.VIRTUAL_ENV, env.CONDA_PREFIX].filter((prefix) => prefix !== undefined && prefix !== '');
  const folders = [...prefixes.map((prefix) => join(prefix!, 'bin')), ...(env.PATH ?? '').split(':')];
  const files = folders.filter((folder) => folder !== '').map((folder) => join(folder, 'python3'));
  return [...new Set(files)].filter((file) => existsSync(file));
}

/**
 * Finds a Python that has Mooncake.
 *
 * @param chosen The only interpreter to try, if the user chose one.
 * @throws `CE_LIBRARY_NOT_FOUND` with the result of each one, `CE_LIBRARY_TOO_OLD` if only unusable versions were
 *   found.
 */
export async function findPython(chosen?: string, env: Environment = process.env): Promise<MooncakePython> {
  const candidates = chosen === undefined ? pythonCandidates(env) : [chosen];
  const failures: string[] = [];
  let old: Probed | undefined;
  for (const python of candidates) {
    const probed = await probe(python, env);
    if (typeof probed === 'string') {
      failures.push(`${python}: ${probed}`);
      continue;
    }
    const { lacks, ...found } = probed;
    if (lacks.length === 0) return found;
    old ??= probed;
  }
  if (old !== undefined) throw tooOld(old);
  throw new CheckpointEngineError(
    'CE_LIBRARY_NOT_FOUND',
    `Mooncake was not found: tried ${candidates.join(', ') || 'no Python, because there is no python3 on the PATH'}`,
    env.CHECKPOINT_ENGINE_MOONCAKE_LIB ? libraryHint : installHint,
    { op: 'open', detail: failures.join('\n') || undefined },
  );
}

/** Describes the Mooncake of a Python, or returns the reason why it is not usable. */
function probe(python: string, env: Environment): Promise<Probed | string> {
  const origin = env.CHECKPOINT_ENGINE_MOONCAKE_LIB ? 'library' : 'module';
  return new Promise((resolve) => {
    execFile(python, [program, '--probe'], { timeout: probeMs, env: { ...env } }, (error, output, log) => {
      if (error === null) return resolve({ python, origin, ...JSON.parse(output.trim().split('\n').at(-1)!) });
      resolve(log.trim().split('\n').at(-1) || error.message);
    });
  });
}

function tooOld({ python, file, distribution, version, lacks }: Probed): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_LIBRARY_TOO_OLD',
    `Mooncake ${version ?? 'of an unknown version'} of ${python} lacks ${lacks.join(', ')}, expected ${minVersion} or newer`,
    `Install a newer one: ${python} -m pip install --upgrade ${distribution ?? 'mooncake-transfer-engine'}`,
    { op: 'open', detail: file },
  );
}
