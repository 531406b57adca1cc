import process from 'node:process';
import { runCli } from './cli.ts';
import { reportLostOutput } from './output/report-lost-output.ts';
import { processTerminal } from './output/terminal.ts';

/** Runs the command of this process, and returns its exit status. */
export async function start(): Promise<number> {
  const args = process.argv.slice(2);
  const terminal = processTerminal();
  reportLostOutput(args[0]);
  return await runCli(args, terminal, process.env);
}
