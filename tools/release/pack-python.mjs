// Builds the wheel and the sdist of python/worker, and checks their contents:
// `node tools/release/pack-python.mjs [FOLDER [HATCHLING]]`. Like an installer, it builds the wheel from the sdist.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { ROOT } from './packages.mjs';

const NAME = 'checkpoint_engine_worker';
const MODULE = `${NAME}/([a-z_]+/)*([a-z_0-9]+\\.py|py\\.typed)`;
const WHEEL = new RegExp(
  `^(${MODULE}|${NAME}-[\\d.]+\\.dist-info/(METADATA|WHEEL|RECORD|entry_points\\.txt|licenses/LICENSE))$`,
);
const SDIST = new RegExp(
  `^${NAME}-[\\d.]+/(src/${MODULE}|README\\.md|LICENSE|pyproject\\.toml|PKG-INFO|\\.gitignore)$`,
);
const METADATA = [
  /^Name: checkpoint-engine-worker$/m,
  /^License-Expression: MIT$/m,
  /^Requires-Python: >=3\.10$/m,
  /^Description-Content-Type: text\/markdown$/m,
  /^# checkpoint-engine-worker$/m,
];

const [out = 'release', hatchling = join(ROOT, 'tools/python/.venv/bin/hatchling')] = process.argv.slice(2);
const folder = resolve(out);
mkdirSync(folder, { recursive: true });
const stage = mkdtempSync(join(tmpdir(), 'ce-pack-python-'));
try {
  const build = (kind, cwd) =>
    execFileSync(resolve(hatchling), ['build', '--target', kind, '--directory', folder], { cwd });
  build('sdist', join(ROOT, 'python/worker'));
  const sdist = join(folder, only(readdirSync(folder), /\.tar\.gz$/));
  execFileSync('tar', ['-xzf', sdist, '-C', stage, '--strip-components=1']);
  build('wheel', stage);
  const wheel = join(folder, only(readdirSync(folder), /^checkpoint_engine_worker.*\.whl$/));
  const files = (command, args) => execFileSync(command, args, { encoding: 'utf8' }).trim().split('\n');
  const python = join(resolve(hatchling), '../python');
  const inWheel = files(python, [
    '-c',
    "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))",
    wheel,
  ]);
  const inSdist = files('tar', ['-tzf', sdist]);
  const metadata = readFileSync(join(unpack(python, wheel), `${NAME}-${versionOf(wheel)}.dist-info/METADATA`), 'utf8');
  const modules = readdirSync(join(ROOT, 'python/worker/src'), { encoding: 'utf8', recursive: true }).filter((file) =>
    file.endsWith('.py'),
  );
  const problems = [
    ...inWheel.filter((file) => !WHEEL.test(file)).map((file) => `unexpected file ${file} in the wheel`),
    ...inSdist.filter((file) => !SDIST.test(file)).map((file) => `unexpected file ${file} in the sdist`),
    ...[`${NAME}/py.typed`, ...modules]
      .filter((file) => !inWheel.includes(file))
      .map((file) => `${file} is missing from the wheel`),
    ...METADATA.filter((wanted) => !wanted.test(metadata)).map((wanted) => `the metadata lacks ${wanted}`),
    ...(/^Requires-Dist: (?!.*extra ==)/m.test(metadata)
      ? ['the wheel has dependencies, which must come from the engine']
      : []),
  ];
  for (const problem of problems) console.error(problem);
  console.log([sdist, wheel].join('\n'));
  process.exitCode = problems.length > 0 ? 1 : 0;
} finally {
  rmSync(stage, { recursive: true, force: true });
}

function only(names, pattern) {
  const found = names.filter((name) => pattern.test(name));
  if (found.length !== 1) throw new Error(`Expected one file like ${pattern}, found ${found.join(', ') || 'none'}`);
  return found[0];
}

function versionOf(wheel) {
  return /checkpoint_engine_worker-([\d.]+)-/.exec(wheel)[1];
}

function unpack(python, wheel) {
  const target = join(stage, 'wheel');
  execFileSync(python, ['-m', 'zipfile', '-e', wheel, target]);
  return target;
}
