// Publishes the tarballs of a folder whose versions the registry does not have yet, dependencies first:
// `node tools/release/publish.mjs FOLDER [REPOSITORY] [npm publish's own flags]`. It publishes exactly the tested
// tarballs.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { publicPackages, ROOT } from './packages.mjs';

const [[out = 'release', root = ROOT], flags] = [
  process.argv.slice(2).filter((argument) => !argument.startsWith('--')),
  process.argv.slice(2).filter((argument) => argument.startsWith('--')),
];

async function isPublished({ name, version }) {
  try {
    const args = ['view', `${name}@${version}`, 'version', '--json'];
    const { stdout } = await promisify(execFile)('npm', args, { cwd: root });
    return stdout.trim() !== '';
  } catch (error) {
    if (error.stdout?.includes('E404')) return false;
    throw error;
  }
}

const packages = publicPackages(root).map(({ manifest }) => ({
  manifest,
  tarball: resolve(out, `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`),
}));
const published = await Promise.all(packages.map(({ manifest }) => isPublished(manifest)));
const wanted = packages.filter((_, index) => !published[index]);
for (const { tarball } of wanted) {
  if (!existsSync(tarball)) throw new Error(`${tarball} is missing: run tools/release/pack.mjs`);
}

// In parallel, but none before its dependencies.
const done = new Map();
for (const { manifest, tarball } of wanted) {
  const needed = Object.keys(manifest.dependencies ?? {}).map((name) => done.get(name));
  const publishing = Promise.all(needed).then(async () => {
    await promisify(execFile)('npm', ['publish', tarball, ...flags], { cwd: root });
    console.log(`${manifest.name}@${manifest.version}`);
  });
  done.set(manifest.name, publishing);
}
await Promise.all(done.values());
