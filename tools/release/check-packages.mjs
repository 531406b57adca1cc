// Fails if a tarball is not ready for publishing: `node tools/release/check-packages.mjs FOLDER [ARCH...]`. Checks
// manifests and files (publint), the types for each kind of importer (are the types wrong), and the addons for each
// ARCH (by default that of this machine).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { addonProblems } from './check-addons.mjs';

/** The packages are ES modules only; `require` of an ES module works since Node.js 20.19. */
const TOLERATED = new Set(['CJSResolvesToESM', 'NoResolution']);
const NATIVE = new Set(['@checkpoint-engine/device', '@checkpoint-engine/transport-nccl']);
/** The only files that packages may contain. */
const FILES =
  /^(LICENSE|(README|CHANGELOG)\.md|package\.json|[a-z]+\.schema\.json|addon\.mk|(dist|include|prebuilds|python)\/.*)$/;
const UNWANTED = /\.test\.|\.tsbuildinfo$|\.[jt]s\.map$|(?<!\.d)\.ts$/;

async function problemsOf(tarball, archs) {
  const data = readFileSync(tarball);
  const folder = mkdtempSync(join(tmpdir(), 'ce-check-'));
  try {
    execFileSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const declarations = files.filter((file) => file.endsWith('.d.ts'));
    const addons = files.filter((file) => file.endsWith('.node'));
    const lint = await publint({ pkgDir: folder, pack: false, strict: true });
    const types = await checkPackage(createPackageFromTarballData(new Uint8Array(data)));
    return [
      ...lint.messages.map((message) => `publint: ${formatMessage(message, manifest, { color: false })}`),
      ...(types.types === false ? ['no types'] : types.problems)
        .filter(({ kind, resolutionKind }) => !TOLERATED.has(kind) || resolutionKind === 'bundler')
        .map((problem) => `types: ${problem.kind ?? problem} ${JSON.stringify(problem)}`),
      ...files.filter((file) => !FILES.test(file) || UNWANTED.test(file)).map((file) => `unexpected file ${file}`),
      ...declarations
        .filter((file) => /['"]\.[^'"\n]*(?<!\.d)\.ts['"]/.test(readFileSync(join(folder, file), 'utf8')))
        .map((file) => `${file} refers to a source file, which is not published`),
      ...(manifest.scripts ? ['it has scripts'] : []),
      ...['LICENSE', 'README.md'].filter((file) => !files.includes(file)).map((file) => `${file} is missing`),
      ...(NATIVE.has(manifest.name) ? archs : [])
        .filter((arch) => !addons.some((file) => file.startsWith(`prebuilds/linux-${arch}/`)))
        .map((arch) => `it has no addon for linux-${arch}`),
      ...(NATIVE.has(manifest.name) ? [] : addons).map((file) => `${file}: this package has no addon`),
      ...addons.flatMap((file) => addonProblems(join(folder, file)).map((problem) => `${file}: ${problem}`)),
    ].map((problem) => `${manifest.name}: ${problem}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [out, ...archs] = process.argv.slice(2);
const tarballs = readdirSync(out).filter((name) => name.endsWith('.tgz'));
const problems = [];
for (const name of tarballs)
  problems.push(...(await problemsOf(join(out, name), archs.length > 0 ? archs : [process.arch])));
for (const problem of problems) console.error(problem);
console.log(`${tarballs.length} packages, ${problems.length} problems`);
process.exitCode = problems.length > 0 || tarballs.length === 0 ? 1 : 0;
