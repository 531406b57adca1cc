// Prints the packages of this repository that the given ones need, themselves included, one name per line.
//
//   node deploy/container/list-packages.mjs cli transport-nccl
import { readFileSync } from 'node:fs';
import { argv, stdout } from 'node:process';

const SCOPE = '@checkpoint-engine/';
const needed = new Set();

function add(name) {
  if (needed.has(name)) return;
  needed.add(name);
  const file = new URL(`../../packages/${name}/package.json`, import.meta.url);
  const { dependencies = {} } = JSON.parse(readFileSync(file, 'utf8'));
  for (const dependency of Object.keys(dependencies)) {
    if (dependency.startsWith(SCOPE)) add(dependency.slice(SCOPE.length));
  }
}

for (const name of argv.slice(2)) add(name);
stdout.write(`${[...needed].join('\n')}\n`);
