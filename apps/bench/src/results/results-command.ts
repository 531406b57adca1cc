import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { README, RESULTS_PAGE, readmeWithResults, resultsOfFolder } from './results-folder.ts';

/** Adds `bench results`. */
export function addResultsCommand(program: Command): void {
  program
    .command('results')
    .description('writes RESULTS.md, and the table in the README, from the files in apps/bench/results')
    .action(() => {
      writeFileSync(RESULTS_PAGE, resultsOfFolder());
      writeFileSync(README, readmeWithResults());
    });
}
