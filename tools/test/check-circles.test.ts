import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

const PROGRAM = resolve('tools/check-circles.mjs');
const folders: string[] = [];

const PYTHON = 'python/worker/src/checkpoint_engine_worker';

/** Runs the check in a repository that has these files below `source`. */
function check(
  files: Readonly<Record<string, string>>,
  source = 'packages/x/src',
): { status: number | null; stderr: string } {
  const root = mkdtempSync(join(tmpdir(), 'ce-circles-'));
  folders.push(root);
  for (const folder of ['apps', 'packages', PYTHON]) mkdirSync(join(root, folder), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, source, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM], { cwd: root, encoding: 'utf8' });
  return { status, stderr };
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

describe('check-circles', () => {
  it('accepts imports in one direction', () => {
    const files = {
      'a.ts': "import { b } from './b.ts';\nimport { d } from './low/d.ts';\n",
      'b.ts': "export * from './low/c.ts';\n",
      'low/c.ts': "import {\n  d,\n} from './d.ts';\n",
      'low/d.ts': 'export const d = 1;\n',
    };
    expect(check(files)).toEqual({ status: 0, stderr: '' });
  });

  it.each([
    ['an import', "import { a } from './a.ts';\n"],
    ['an import over several lines', "import {\n  a,\n} from './a.ts';\n"],
    ['a type-only import', "import type { A } from './a.ts';\n"],
    ['a re-export', "export * from './a.ts';\n"],
    ['a dynamic import', "export const load = () => import('./a.ts');\n"],
  ])('finds a circle that %s closes', (_, text) => {
    const { status, stderr } = check({ 'low/a.ts': "import { c } from './c.ts';\n", 'low/c.ts': text });
    expect(stderr).toBe('These files import each other: packages/x/src/low/a.ts, packages/x/src/low/c.ts\n');
    expect(status).toBe(1);
  });

  it('finds folders that import each other even if no two files do', () => {
    const { status, stderr } = check({
      'up/a.ts': "import '../down/b.ts';\n",
      'down/b.ts': '',
      'down/c.ts': "import '../up/d.ts';\n",
      'up/d.ts': '',
    });
    expect(stderr).toBe('These folders of packages/x/src import each other: down, up\n');
    expect(status).toBe(1);
  });

  it('accepts modules and subpackages of Python that import in one direction', () => {
    const files = {
      '__init__.py': 'from checkpoint_engine_worker.version import VERSION\n',
      'version.py': 'VERSION = 1\n',
      'up/__init__.py': '',
      'up/a.py': 'from checkpoint_engine_worker.down import b as low, CONSTANT\n',
      'down/__init__.py': 'CONSTANT = 1\n',
      'down/b.py': 'from checkpoint_engine_worker.down import (\n    CONSTANT,  # here\n)\n',
    };
    expect(check(files, PYTHON)).toEqual({ status: 0, stderr: '' });
  });

  it.each([
    ['an import', 'from checkpoint_engine_worker.low.a import A\n'],
    ['an import of a module', 'from checkpoint_engine_worker.low import a\n'],
    ['an import under another name', 'from checkpoint_engine_worker.low import b, a as other\n'],
    ['an import over several lines', 'from checkpoint_engine_worker.low.a import (\n    A,\n)\n'],
    ['an import inside of a function', 'def f():\n    from checkpoint_engine_worker.low.a import A\n'],
  ])('finds a circle of Python modules that %s closes', (_, text) => {
    const files = { 'low/a.py': 'from checkpoint_engine_worker.low.c import C\n', 'low/b.py': '', 'low/c.py': text };
    expect(check(files, PYTHON)).toEqual({
      status: 1,
      stderr: `These modules import each other: ${PYTHON}/low/a.py, ${PYTHON}/low/c.py\n`,
    });
  });

  it('finds subpackages of Python that import each other although no two modules do', () => {
    const files = {
      'up/a.py': 'from checkpoint_engine_worker.down.b import B\n',
      'down/b.py': '',
      'down/c.py': 'from checkpoint_engine_worker.up.d import D\n',
      'up/d.py': '',
    };
    expect(check(files, PYTHON)).toEqual({
      status: 1,
      stderr: `These subpackages of ${PYTHON} import each other: down, up\n`,
    });
  });
});
