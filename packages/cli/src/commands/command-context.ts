import type { Environment } from '../config/environment.ts';
import type { Terminal } from '../output/terminal.ts';

/** What every command is run with. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: Environment;
  /** Sets what the process ends with: 0 done, 1 failed, 2 wrong arguments, 128 and a signal's number interrupted. */
  setExitCode(code: number): void;
}
