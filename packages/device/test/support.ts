import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Memory, MemoryRange } from '@checkpoint-engine/interface';

export const packageFolder: string = fileURLToPath(new URL('..', import.meta.url));

/** A range of a memory; by default all of it. */
export const range = (memory: Memory, offsetBytes = 0, sizeBytes: number = memory.sizeBytes): MemoryRange => ({
  memory,
  offsetBytes,
  sizeBytes,
});

/** A process that runs a module, given as text, which can import the package. */
export class Script {
  readonly child: ChildProcess;
  #output = '';
  #errors = '';

  constructor(code: string, command: readonly string[] = [process.execPath, '--input-type=module', '-e'], env = {}) {
    const [program, ...rest] = command;
    this.child = spawn(program!, [...rest, code], { cwd: packageFolder, env: { ...process.env, ...env } });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
  }

  /** The first line of its output. */
  async line(): Promise<string> {
    while (!this.#output.includes('\n')) {
      if (this.child.exitCode !== null) throw new Error(`The script ended early: ${this.#errors}`);
      await Promise.race([once(this.child.stdout!, 'data'), once(this.child, 'exit')]);
    }
    return this.#output.slice(0, this.#output.indexOf('\n'));
  }

  /** The result of the process: `{ code, signal, output, errors }`. */
  async end(): Promise<{ code: number | null; signal: string | null; output: string; errors: string }> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return {
      code: this.child.exitCode,
      signal: this.child.signalCode,
      output: this.#output.trim(),
      errors: this.#errors.replace(/^\(node:.*\n|^.*Warning.*\n/gm, '').trim(),
    };
  }
}

/** Expected result of a script that succeeds and leaves nothing behind. */
export const quietEnd = (output: string): object => ({ code: 0, signal: null, output, errors: '' });
