import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { largeRuns, variants } from './large-clusters.ts';
import { largeClustersPage } from './large-clusters-page.ts';
import { validateOwn } from './validate-own.ts';
import { validatePublished } from './validate-published.ts';
import { validationPage } from './validation-page.ts';

const LARGE_CLUSTERS = fileURLToPath(new URL('../../../../docs/simulate-large-clusters.md', import.meta.url));
const VALIDATION = fileURLToPath(new URL('../../SIMULATION.md', import.meta.url));

/** Adds `bench simulate`, with a command per page. */
export function addSimulateCommand(program: Command): void {
  const simulate = program.command('simulate').description('writes the pages about simulated updates');
  simulate
    .command('large-clusters')
    .description('updates on 256, 1,024 and 4,096 GPUs: docs/simulate-large-clusters.md')
    .action(() => writeFileSync(LARGE_CLUSTERS, largeClustersPage(variants(), largeRuns())));
  simulate
    .command('validate')
    .description('predictions and measurements: apps/bench/SIMULATION.md')
    .action(() => writeFileSync(VALIDATION, validationPage(validatePublished(true), validateOwn())));
}
