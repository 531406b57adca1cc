import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { RESULTS_PAGE, resultsOfFolder } from './results-folder.ts';

/** Adds `bench results`. */
export function addResultsCommand(program: Command): void {
  program
    .command('results')
    .description('writes RESULTS.md from the files in apps/bench/results')
    .action(() => writeFileSync(RESULTS_PAGE, resultsOfFolder()));
}
