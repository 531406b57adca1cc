import { execArgv, execPath, versions } from 'node:process';
import { fileURLToPath } from 'node:url';

/** The runtime that this process runs under. */
export const runtime: { readonly name: 'Node.js' | 'Deno'; readonly version: string } =
  'deno' in versions && typeof versions.deno === 'string'
    ? { name: 'Deno', version: versions.deno }
    : { name: 'Node.js', version: versions.node };

/** The program and its arguments that run this command again, with other arguments, under the same runtime. */
export function ownCommand(args: readonly string[]): { file: string; args: string[] } {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  // Deno's permissions are not in its execArgv. A child needs what its parent needed: everything.
  const own = runtime.name === 'Deno' ? ['run', '--allow-all', '--quiet', main] : [...execArgv, main];
  return { file: execPath, args: [...own, ...args] };
}
