// `npm run lint` and the type check must work in a fresh clone, before the first build.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ROOT } from './local-registry.ts';

const REFUSED = [
  "import { a } from '../dist/a.js';\nexport const b = a;\n",
  "import {\n  a,\n} from '../../http/dist/a/b.js';\nexport const b = a;\n",
  "import type { A } from '../dist/a.js';\nexport type B = A;\n",
  "import '../dist/a.js';\n",
  "export * from '../dist/a.js';\n",
  "export const a = await import('../dist/a.js');\n",
  "export type A = typeof import('../dist/a.js');\n",
  "export type A = import('../dist/a.js').A;\n",
];
const ACCEPTED = [
  "export const a = await import(new URL('../dist/a.js', import.meta.url).href);\n",
  "export type A = typeof import('../src/a.ts');\n",
  "import { a } from './dist.ts';\nexport const b = a;\n",
];

/** Folder with this repository's settings of Biome, outside of Git. */
const folder = mkdtempSync(join(tmpdir(), 'ce-lint-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('refuses imports of dist, which the type check of a fresh clone cannot resolve', () => {
  const settings = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
  writeFileSync(join(folder, 'biome.json'), JSON.stringify({ ...settings, vcs: { enabled: false } }));
  mkdirSync(join(folder, 'tools'));
  cpSync(join(ROOT, 'tools/no-dist-types.grit'), join(folder, 'tools/no-dist-types.grit'));
  const test = join(folder, 'packages/ps/test');
  mkdirSync(test, { recursive: true });
  for (const [index, text] of REFUSED.entries()) writeFileSync(join(test, `refused-${index}.ts`), text);
  for (const [index, text] of ACCEPTED.entries()) writeFileSync(join(test, `accepted-${index}.ts`), text);
  const biome = join(ROOT, 'node_modules/.bin/biome');
  const { stdout, stderr } = spawnSync(biome, ['lint', '--reporter=github'], { cwd: folder, encoding: 'utf8' });
  const found = [...stdout.matchAll(/\/packages\/ps\/test\/(\w+-\d+)\.ts,.*::.*[Aa] fresh clone has no dist/g)];
  expect(found.map(([, name]) => name).sort(), stdout + stderr).toEqual(REFUSED.map((_, index) => `refused-${index}`));
});
