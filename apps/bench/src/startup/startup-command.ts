import type { Command } from 'commander';
import { withDataDirOption } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { withWorldOptions } from '../update/update-command.ts';
import { startupScenario } from './startup-scenario.ts';

/** Adds `bench startup`. */
export function addStartupCommand(program: Command): void {
  const command = program
    .command('startup')
    .description(
      "the time from the start of a process to the first byte that moves, with and without the GPU's context",
    );
  withWorldOptions(withPublishOptions(withDataDirOption(command)))
    .option('--rounds <n>', 'starts, each in fresh processes', Number, 3)
    .option('--peer', 'also start the Python tool', false)
    .action(startupScenario);
}
