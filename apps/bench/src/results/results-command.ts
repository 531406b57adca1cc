import type { Command } from 'commander';
import { writeResultPages } from './results-folder.ts';

/** Adds `bench results`. */
export function addResultsCommand(program: Command): void {
  program
    .command('results')
    .description('writes RESULTS.md and a page per result from the files in apps/bench/results')
    .action(writeResultPages);
}
