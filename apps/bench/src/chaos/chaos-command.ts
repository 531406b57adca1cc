import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { chaosScenario } from './chaos-scenario.ts';

/** Adds `bench chaos`. */
export function addChaosCommand(program: Command): void {
  const command = program
    .command('chaos')
    .description('ranks, the server and workers are killed in the middle of updates, at random times')
    .option('--rounds <n>', 'kills', Number, 50)
    .option('--ranks <n>', 'ranks, and as many engines', Number, 3)
    .option('--seed <n>', 'of the random times', Number, 1)
    .option('--size <size>', 'bytes of the checkpoint', parseSize, 64 * 2 ** 20);
  withPublishOptions(command).action(async ({ size, ...options }) => {
    await chaosScenario({ ...options, sizeBytes: size });
  });
}
