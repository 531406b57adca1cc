// Bundles the JavaScript of a package: `node ../../tools/bundle.mjs`, after `tsc` has written the declarations. Each
// process of an update loads these packages, and a few large files load much faster than hundreds of small ones. The
// entries are those of `exports`; `dist/chunks` has the code that they share. A module of `src` may locate a file as if it
// were the entry of its package.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const { exports, dependencies = {} } = JSON.parse(readFileSync('package.json', 'utf8'));
const input = Object.fromEntries(
  Object.values(exports).map(({ '@checkpoint-engine/source': source }) => [
    source.replace(/^\.\/src\/(.*)\.ts$/, '$1'),
    source,
  ]),
);

// A build does not remove the output of deleted sources, and the names of chunks change.
for (const name of readdirSync('dist', { recursive: true })) {
  if (name.endsWith('.js')) rmSync(join('dist', name));
}
const bundle = await rolldown({
  input,
  platform: 'node',
  external: /^[^./]/,
  transform: { target: 'node20.19' },
  onLog: (level, { message }) => {
    if (level !== 'debug' && level !== 'info') throw new Error(message);
  },
});
const { output } = await bundle.write({
  dir: 'dist',
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name].js',
});
await bundle.close();

const files = new Set(output.map(({ fileName }) => fileName));
for (const { fileName, code, imports, dynamicImports } of output) {
  for (const name of [...imports, ...dynamicImports]) {
    const [scope, rest] = name.split('/');
    const dependency = name.startsWith('@') ? `${scope}/${rest}` : scope;
    const isKnown = files.has(name) || name.startsWith('node:') || dependency in dependencies;
    if (!isKnown) throw new Error(`${fileName} imports ${name}, which package.json does not list in dependencies`);
  }
  if (fileName.startsWith('chunks/') && code.includes('import.meta.url')) {
    throw new Error(`${fileName} locates files relative to itself, but its folder is that of the chunks`);
  }
}
