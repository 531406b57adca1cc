import { readFileSync } from 'node:fs';
import { execArgv, execPath, versions } from 'node:process';
import { fileURLToPath } from 'node:url';

/** The runtime of this process. */
export const runtime: { readonly name: 'Node.js' | 'Deno'; readonly version: string } =
  'deno' in versions && typeof versions.deno === 'string'
    ? { name: 'Deno', version: versions.deno }
    : { name: 'Node.js', version: versions.node };

/** Permissions that a rank needs if Deno does not allow everything: those of its parent, and native code. */
const NAMED_PERMISSIONS = ['read', 'write', 'env', 'net', 'run', 'sys', 'ffi'].map((name) => `--allow-${name}`);

/** The program and the arguments that run this command again, with other arguments, under the same runtime. */
export function ownCommand(args: readonly string[]): { file: string; args: string[] } {
  return { file: execPath, args: [...beforeArguments(), ...args] };
}

function beforeArguments(): string[] {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  if (runtime.name === 'Node.js') return [...execArgv, main];
  // An executable from `deno compile` contains the command and its permissions.
  if (isStandalone()) return [];
  // Deno does not show a process its own permissions.
  const permissions = isAllAllowed() ? ['--allow-all'] : ['--no-prompt', ...NAMED_PERMISSIONS];
  return ['run', '--quiet', ...permissions, main];
}

function isStandalone(): boolean {
  const { Deno } = globalThis as { Deno?: { build?: { standalone?: boolean } } };
  return Deno?.build?.standalone === true;
}

/** Deno shows this file only to a process with all permissions. */
function isAllAllowed(): boolean {
  try {
    readFileSync('/proc/self/maps');
    return true;
  } catch {
    return false;
  }
}
