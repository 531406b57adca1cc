import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { planScenario } from './plan-scenario.ts';

/** Adds `bench plan`. */
export function addPlanCommand(program: Command): void {
  withPublishOptions(
    program
      .command('plan')
      .description('the plan of an update of Kimi-K2')
      .option('--owners <n>', 'ranks that own tensors', Number, 256)
      .option('--processes <n>', 'fresh processes', Number, 7)
      .option('--rounds <n>', 'plans in each process', Number, 20),
  ).action(planScenario);
}
