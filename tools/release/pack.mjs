// Packs every public package for publishing: `node tools/release/pack.mjs [FOLDER [REPOSITORY]]`.
// Fields that only this repository needs are removed from the manifest, so that a tarball refers only to its own files.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { publicPackages, ROOT } from './packages.mjs';

const SOURCE_CONDITION = '@checkpoint-engine/source';

/** The manifest to publish: without scripts, development dependencies, and the condition for sources. */
function publishedManifest({ scripts, devDependencies, exports, ...manifest }, folder) {
  const repository = process.env.GITHUB_REPOSITORY && {
    type: 'git',
    url: `git+${process.env.GITHUB_SERVER_URL}/${process.env.GITHUB_REPOSITORY}.git`,
    directory: folder,
  };
  const published = Object.entries(exports).map(([path, { [SOURCE_CONDITION]: _source, ...conditions }]) => [
    path,
    conditions,
  ]);
  return {
    ...manifest,
    ...(repository && { repository }),
    publishConfig: { access: 'public' },
    exports: { ...Object.fromEntries(published), './package.json': './package.json' },
  };
}

/** Whether a built file still has a source: a build does not remove the output of deleted sources. */
function hasSource(folder, path) {
  const [top, ...rest] = relative(folder, path).split('/');
  if (rest[0] === 'chunks') return true;
  const source = join(folder, 'src', ...rest).replace(/(\.d\.ts|\.js)$/, '.ts');
  return top !== 'dist' || !/(\.d\.ts|\.js)$/.test(path) || existsSync(source);
}

/** tsc keeps `.ts` in the imports of declarations, which TypeScript supports and Deno does not. */
function nameDeclarationsAsBuilt(dist) {
  for (const name of readdirSync(dist, { recursive: true }).filter((file) => file.endsWith('.d.ts'))) {
    const path = join(dist, name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/\b((?:from|import)\s*\(?\s*['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2'));
  }
}

/** Packs the public packages of the repository at `root` into `out`, which is emptied first. Returns the tarballs. */
export function pack(out, root = ROOT) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const stage = mkdtempSync(join(tmpdir(), 'ce-pack-'));
  try {
    const folders = publicPackages(root).map(({ folder, manifest }) => {
      const staged = join(stage, basename(folder));
      cpSync(folder, staged, {
        recursive: true,
        filter: (path) =>
          !/^(node_modules|src|test|native|build|\.turbo)$/.test(relative(folder, path)) && hasSource(folder, path),
      });
      nameDeclarationsAsBuilt(join(staged, 'dist'));
      cpSync(join(root, 'LICENSE'), join(staged, 'LICENSE'));
      const published = publishedManifest(manifest, relative(root, folder));
      writeFileSync(join(staged, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
      return `./${basename(folder)}`;
    });
    execFileSync('npm', ['pack', ...folders, '--pack-destination', resolve(out), '--silent'], {
      cwd: stage,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } finally {
    rmSync(stage, { recursive: true });
  }
  return readdirSync(out).map((name) => join(out, name));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const tarball of pack(process.argv[2] ?? 'release', process.argv[3])) console.log(tarball);
}
