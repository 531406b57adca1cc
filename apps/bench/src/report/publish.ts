import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import process from 'node:process';
import type { Command } from 'commander';
import { printResult } from './print.ts';
import { type BenchResult, isMet, RESULT_VERSION, wrongCount } from './result.ts';

/** The outputs of a result in addition to the terminal. */
export interface PublishOptions {
  /** A file for the JSON. */
  readonly json?: string | undefined;
  /** Whether to print the figures and targets only. */
  readonly brief?: boolean | undefined;
}

/** Adds the options that every scenario has. */
export function withPublishOptions(command: Command): Command {
  return command
    .option('--json <file>', 'write the result to this file')
    .option('--brief', 'print figures and targets only; the rest is in the JSON', false);
}

/**
 * Prints a result and writes its files. Fails the process if anything is wrong or a required target is missed. Returns
 * whether everything is right.
 */
export function publish(result: Omit<BenchResult, 'version'>, { json, brief }: PublishOptions): boolean {
  const whole: BenchResult = { version: RESULT_VERSION, ...result };
  printResult(whole, brief);
  if (json !== undefined) {
    mkdirSync(dirname(json), { recursive: true });
    writeFileSync(json, `${JSON.stringify(whole)}\n`);
  }
  const isRight = wrongCount(whole) === 0 && whole.targets.every((target) => isMet(target) || !target.isRequired);
  if (!isRight) process.exitCode = 1;
  return isRight;
}
