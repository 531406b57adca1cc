import type { Environment } from './config/environment.ts';
import type { Terminal } from './output/terminal.ts';

/** The terminal, the environment and the exit status of one run of a command. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: Environment;
  /** Sets the exit status. 0: success, 1: failure, 2: wrong arguments, 128 + N: interrupted by signal N. */
  setExitCode(code: number): void;
}
