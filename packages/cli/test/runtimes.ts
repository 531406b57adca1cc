import { createRequire } from 'node:module';
import { execPath } from 'node:process';

/** The runtimes that the command runs under: a name, and what comes before the script's path. */
export const RUNTIMES: readonly (readonly [name: string, command: readonly [string, ...string[]]])[] = [
  ['Node.js', [execPath]],
  ['Deno', [createRequire(import.meta.url).resolve('@deno/linux-x64-glibc/deno'), 'run', '--allow-all', '--quiet']],
];
