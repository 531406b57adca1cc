import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Makes the reads of rank processes fail or hang. */
export class FaultyDisk {
  readonly #folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-faulty-disk-'));
  /** Starts a rank whose reads this object controls, as the `runner` of a world. */
  readonly runner: readonly string[];

  constructor() {
    const library = join(this.#folder, 'faulty-disk.so');
    const source = fileURLToPath(new URL('./faulty_disk.c', import.meta.url));
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
    this.does('ok');
    this.runner = ['/usr/bin/env', `LD_PRELOAD=${library}`, `FAULTY_DISK=${join(this.#folder, 'command')}`];
  }

  /** Sets the behavior of later reads. */
  does(command: 'ok' | 'stall' | `eio ${number}`): void {
    const path = join(this.#folder, 'command');
    rmSync(this.#stalledPath, { force: true });
    writeFileSync(`${path}.new`, command);
    renameSync(`${path}.new`, path);
  }

  /** Resolves when a read hangs because of `stall`. */
  async stalled(): Promise<void> {
    while (!existsSync(this.#stalledPath)) await sleep(10);
  }

  get #stalledPath(): string {
    return join(this.#folder, 'command.stalled');
  }

  remove(): void {
    this.does('ok');
    rmSync(this.#folder, { recursive: true });
  }
}
