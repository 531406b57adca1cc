import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const IMPORT = /^(?:import|export)\s(?!type\s)(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]/gm;

/** The packages that a module imports before any of its functions runs, directly or through other modules of this package. */
function packagesOf(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return new Set();
  seen.add(path);
  const found = new Set<string>();
  for (const [, name] of readFileSync(path, 'utf8').matchAll(IMPORT)) {
    const below = name!.startsWith('.') ? packagesOf(join(dirname(path), name!), seen) : [name!];
    for (const one of below) found.add(one);
  }
  return found;
}

it('loads at start only what help and wrong arguments need, and the rest when a command runs', () => {
  const packages = [...packagesOf(fileURLToPath(new URL('./start.ts', import.meta.url)))];
  expect(packages.filter((name) => !name.startsWith('node:')).toSorted()).toEqual([
    '@checkpoint-engine/interface',
    '@checkpoint-engine/planner/sizes',
    'commander',
    'picocolors',
  ]);
});
