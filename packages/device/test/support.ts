import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Memory, MemoryRange } from '@checkpoint-engine/interface';

export const packageFolder: string = fileURLToPath(new URL('..', import.meta.url));

/** A range of a memory, the whole of it where nothing else is said. */
export const range = (memory: Memory, offsetBytes = 0, sizeBytes: number = memory.sizeBytes): MemoryRange => ({
  memory,
  offsetBytes,
  sizeBytes,
});

/** A process that runs a module, given as text, with the package in reach. */
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

  /** The first line that it prints. */
  async line(): Promise<string> {
    while (!this.#output.includes('\n')) {
      if (this.child.exitCode !== null) throw new Error(`The script ended early: ${this.#errors}`);
      await Promise.race([once(this.child.stdout!, 'data'), once(this.child, 'exit')]);
    }
    return this.#output.slice(0, this.#output.indexOf('\n'));
  }

  /** How it ended: `{ code, signal, output, errors }`. */
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

/** What a script that does its work and leaves nothing behind ends with. */
export const quietEnd = (output: string): object => ({ code: 0, signal: null, output, errors: '' });
