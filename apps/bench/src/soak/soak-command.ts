import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { soakScenario } from './soak-scenario.ts';

/** Adds `bench soak`. */
export function addSoakCommand(program: Command): void {
  const command = program
    .command('soak')
    .description('register, update, unregister over HTTP, again and again: nothing may grow')
    .option('--cycles <n>', 'cycles', Number, 1000)
    .option('--ranks <n>', 'ranks, and as many engines', Number, 4)
    .option('--size <size>', 'bytes of the checkpoint', parseSize, 4 * 2 ** 20);
  withPublishOptions(command).action(async ({ size, ...options }) => {
    await soakScenario({ ...options, sizeBytes: size });
  });
}
