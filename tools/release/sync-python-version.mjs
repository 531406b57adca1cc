// Sets the version of the Python package to that of @checkpoint-engine/interface, which describes their common
// protocol: `node tools/release/sync-python-version.mjs [--check]`.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { ROOT } from './packages.mjs';

const path = join(ROOT, 'python/worker/src/checkpoint_engine_worker/version.py');
const { version } = JSON.parse(readFileSync(join(ROOT, 'packages/interface/package.json'), 'utf8'));
const protocol = /WORKER_PROTOCOL_VERSION = (\d+)/.exec(
  readFileSync(join(ROOT, 'packages/interface/src/worker-protocol.ts'), 'utf8'),
)[1];
if (!/^\d+\.\d+\.\d+$/.test(version))
  throw new Error(`Version ${version} is not valid on PyPI: release versions without a suffix`);

const before = readFileSync(path, 'utf8');
const after = before
  .replace(/^__version__ = ".*"$/m, `__version__ = "${version}"`)
  .replace(/^PROTOCOL_VERSION: Final = \d+$/m, `PROTOCOL_VERSION: Final = ${protocol}`);
if (process.argv.includes('--check')) {
  if (after !== before) {
    console.error(`The Python package does not match @checkpoint-engine/interface ${version}, protocol ${protocol}`);
    process.exitCode = 1;
  }
} else {
  writeFileSync(path, after);
}
