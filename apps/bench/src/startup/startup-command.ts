import type { Command } from 'commander';
import { withDataDirOption } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { withWorldOptions } from '../update/update-command.ts';
import { startupScenario } from './startup-scenario.ts';

/** Adds `bench startup`. */
export function addStartupCommand(program: Command): void {
  const command = program
    .command('startup')
    .description("from a process that is asked for to the first byte that moves, with and without the GPU's context");
  withWorldOptions(withPublishOptions(withDataDirOption(command)))
    .option('--rounds <n>', 'starts, each in fresh processes', Number, 3)
    .option('--peer', 'start the Python tool, too', false)
    .action(startupScenario);
}
