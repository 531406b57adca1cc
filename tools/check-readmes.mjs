// Type-checks the TypeScript examples in the READMEs of packages with tsc --strict, against the sources. Each example
// must be complete, so that a reader can copy it into a file.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const folder = 'node_modules/.cache/readmes';
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const pages = readdirSync('packages').map((name) => ({ name, page: join('packages', name, 'README.md') }));
for (const { name, page } of pages) {
  const examples = [...readFileSync(page, 'utf8').matchAll(/^```ts\n(.*?)^```/gms)];
  for (const [index, [, code]] of examples.entries()) {
    // An export makes the file a module, which allows top-level await.
    writeFileSync(join(folder, `${name}-${index + 1}.ts`), `${code}export {};\n`);
  }
}
const compilerOptions = {
  strict: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  module: 'nodenext',
  target: 'es2022',
  lib: ['es2023', 'esnext.disposable'],
  types: ['node'],
  customConditions: ['@checkpoint-engine/source'],
};
writeFileSync(join(folder, 'package.json'), '{"type":"module"}\n');
writeFileSync(join(folder, 'tsconfig.json'), `${JSON.stringify({ compilerOptions, include: ['*.ts'] })}\n`);
try {
  execFileSync('node_modules/.bin/tsc', ['-p', folder], { stdio: 'inherit' });
} catch {
  process.stderr.write('An example in a README does not pass tsc --strict. The file has the name of its package\n');
  process.exit(1);
}
