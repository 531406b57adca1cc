// Creates one folder that runs the benchmarks on a GPU machine that has only Python with torch and a C library: the
// built JavaScript, the addons, the npm packages they need, the Python helpers, and Node itself, compressed.
//
//   npm run bundle -w apps/bench            writes bundle/ at the root of the repository
//   bundle/run bench update --help          on the other machine
//   bundle/run test apps/bench/test/kill.stress.ts
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const out = join(root, 'bundle');
const stage = mkdtempSync(join(tmpdir(), 'bundle-'));

/** The folder that `name` resolves to from `from`, by Node's own rule of walking up. */
function findPackage(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (folder === dirname(folder)) return undefined;
  }
}

const isForThisPlatform = (path) => !/zeromq\/build\/(darwin|win32|linux\/(?!x64))/.test(path) && !/\/musl/.test(path);
const done = new Set();

function addDependencies(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const wanted = [
    ...Object.keys(manifest.dependencies ?? {}).map((name) => [name, true]),
    ...Object.keys(manifest.optionalDependencies ?? {}).map((name) => [name, false]),
  ];
  for (const [name, isRequired] of wanted) addPackage(name, folder, isRequired);
}

function addPackage(name, from, isRequired = true) {
  const source = findPackage(name, from);
  if (source === undefined) {
    if (isRequired) throw new Error(`${name}, needed by ${from}, is not installed: run npm ci`);
    return;
  }
  if (done.has(source)) return;
  done.add(source);
  const target = join(stage, relative(root, source));
  if (name.startsWith('@checkpoint-engine/')) {
    mkdirSync(target, { recursive: true });
    for (const part of ['package.json', 'dist', 'prebuilds', 'python']) {
      const path = join(source, part);
      if (existsSync(path)) {
        cpSync(path, join(target, part), {
          recursive: true,
          filter: (file) => statSync(file).isDirectory() || /\.(js|mjs|json|node|py)$/.test(file),
        });
      }
    }
  } else {
    cpSync(source, target, {
      recursive: true,
      dereference: true,
      filter: (path) =>
        isForThisPlatform(path) && (statSync(path).isDirectory() || /\.(c?js|mjs|json|node)$/.test(path)),
    });
  }
  addDependencies(source);
}

function testsOf(name) {
  return `packages/${name}/test`;
}

const bench = join(root, 'apps/bench');
addDependencies(bench);
for (const part of ['package.json', 'dist', 'python', 'build', 'test']) {
  cpSync(join(bench, part), join(stage, 'apps/bench', part), { recursive: true });
}
// Tests that need a GPU or an hour, and their runner.
writeFileSync(join(stage, 'package.json'), '{"type": "module"}\n');
addPackage('vitest', root);
addPackage('@checkpoint-engine/transport-compliance', root);
for (const path of ['vitest.config.ts', 'tools/test', ...['device', 'transport-nccl', 'transport-rdma'].map(testsOf)]) {
  cpSync(join(root, path), join(stage, path), { recursive: true });
}

const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
const isDirty = git('status', '--porcelain', '--untracked-files=no') !== '';
const commit = `${git('rev-parse', '--short', 'HEAD')}${isDirty ? '-dirty' : ''}`;
writeFileSync(join(stage, 'apps/bench/commit.txt'), `${commit}\n`);

mkdirSync(out, { recursive: true });
execFileSync('tar', ['-C', stage, '-cJf', join(out, 'app.tar.xz'), '.']);
rmSync(stage, { recursive: true });
const nodeArchive = join(out, `node-${process.version}.xz`);
if (!existsSync(nodeArchive)) {
  const stripped = join(out, 'node');
  cpSync(process.execPath, stripped);
  try {
    execFileSync('strip', [stripped]);
  } catch {
    // Without strip the bundle is only a little larger.
  }
  execFileSync('xz', ['-T0', '-6', '--keep', '--force', stripped]);
  cpSync(`${stripped}.xz`, nodeArchive);
  rmSync(`${stripped}.xz`);
  rmSync(stripped);
}
writeFileSync(
  join(out, 'run'),
  `#!/bin/sh
# Unpacks the bundle once, then runs: run bench ARGS..., run cli ARGS..., run test FILE..., run node ARGS...
set -e
here=$(cd "$(dirname "$0")" && pwd)
to=\${CHECKPOINT_ENGINE_BUNDLE_DIR:-/tmp/checkpoint-engine-bundle}
if [ ! -x "$to/bin/node" ]; then
  mkdir -p "$to/bin"
  python3 - "$here" "$to" <<'PY'
import lzma, os, shutil, sys, tarfile
here, to = sys.argv[1:]
with tarfile.open(os.path.join(here, "app.tar.xz")) as archive:
    archive.extractall(to, filter="fully_trusted") if hasattr(tarfile, "fully_trusted_filter") else archive.extractall(to)
name = os.path.join(to, "bin", "node.tmp")
with lzma.open(os.path.join(here, "node-${process.version}.xz")) as source, open(name, "wb") as target:
    shutil.copyfileobj(source, target)
os.chmod(name, 0o755)
os.rename(name, os.path.join(to, "bin", "node"))
PY
fi
what=$1
shift
case $what in
  bench) exec "$to/bin/node" "$to/apps/bench/dist/main.js" "$@" ;;
  cli) exec "$to/bin/node" "$to/node_modules/@checkpoint-engine/cli/dist/main.js" "$@" ;;
  test)
    cd "$to"
    STRESS=1 exec "$to/bin/node" node_modules/vitest/vitest.mjs run --project integration --project stress "$@"
    ;;
  node) exec "$to/bin/node" "$@" ;;
  *) echo "usage: run bench|cli|test|node ARGS..." >&2; exit 2 ;;
esac
`,
  { mode: 0o755 },
);
const size = ['app.tar.xz', `node-${process.version}.xz`].reduce(
  (sum, name) => sum + statSync(join(out, name)).size,
  0,
);
process.stdout.write(`${relative(process.cwd(), out)}: ${(size / 2 ** 20).toFixed(1)} MiB\n`);
