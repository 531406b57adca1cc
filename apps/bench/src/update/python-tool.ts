import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What the Python tool took on the same weights. Seconds. */
export interface PythonToolFigures {
  readonly torch: string;
  readonly register_s: readonly number[];
  readonly gather_s: number;
  /** As shipped: its process group is made and destroyed in every update. */
  readonly update_s: readonly number[];
  readonly update_kept_group_s: readonly number[];
  readonly device_used_bytes: number;
}

const SCRIPT = fileURLToPath(new URL('../../python/reference.py', import.meta.url));

/** Runs the Python tool against the same engine and gives its figures. */
export function runPythonTool(
  python: string,
  folder: string,
  enginePort: number,
  updates: number,
): Promise<PythonToolFigures> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      python,
      [SCRIPT, '--dir', folder, '--engine-port', String(enginePort), '--updates', String(updates)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += String(chunk);
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      const line = output.trim().split('\n').at(-1) ?? '';
      if (code === 0) resolve(JSON.parse(line) as PythonToolFigures);
      else reject(new Error(`${python} ${SCRIPT} exited with ${code}: ${output.slice(-2000)}`));
    });
  });
}
