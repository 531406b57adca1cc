import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { gatherScenario } from './gather-scenario.ts';

/** Adds `bench gather`. */
export function addGatherCommand(program: Command): void {
  withPublishOptions(
    program
      .command('gather')
      .description('all ranks of a large world exchange their metas of Kimi-K2')
      .option('--ranks <n,...>', 'world sizes, up to 4096', (text) => text.split(',').map(Number), [256, 1024])
      .option(
        '--processes <n>',
        'processes that contain the ranks; more if a process would have over 1,000 ranks',
        Number,
        4,
      )
      .option('--rounds <n>', 'gathers of new metas', Number, 5),
  ).action(gatherScenario);
}
