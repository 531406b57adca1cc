import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { message, start } from '../world/children.ts';

/** An inference engine of one worker on the host device, in a process of its own, at a Unix socket. */
export class HostEngine {
  readonly index: number;
  readonly socket: string;
  #child!: ChildProcess;

  private constructor(index: number, socket: string) {
    this.index = index;
    this.socket = socket;
  }

  static async start(index: number, folder: string): Promise<HostEngine> {
    const engine = new HostEngine(index, join(folder, `engine-${index}.sock`));
    await engine.restart();
    return engine;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Starts it at the same socket, after it died. */
  async restart(): Promise<void> {
    rmSync(this.socket, { force: true });
    this.#child = start('worker-main', [String(this.index), this.socket]);
    await message(this.#child);
  }

  /** How many of its tensors are not as wanted, or missing. */
  async wrong(wanted: ReadonlyMap<string, string>): Promise<number> {
    const reply = message<Record<string, string>>(this.#child);
    this.#child.send('digests');
    const held = await reply;
    return [...wanted].filter(([name, digest]) => held[name] !== digest).length;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
