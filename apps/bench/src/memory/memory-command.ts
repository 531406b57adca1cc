import { formatBytes, parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { parseSizes, withWorldOptions } from '../update/update-command.ts';
import { memoryScenario } from './memory-scenario.ts';

const DEFAULT_BOUNDS = ['96MiB', '192MiB', '384MiB', '1GiB', '4GiB'].map(parseSize);

/** Adds `bench memory`. */
export function addMemoryCommand(program: Command): void {
  const command = program
    .command('memory')
    .description("device memory and speed: updates with increasing bounds, their memory and the driver's figures");
  withWorldOptions(withPublishOptions(withCheckpointOptions(command)))
    .option(
      '--device-memory <sizes>',
      `bounds, one measurement each; bounds that are too small are reported (default: ${DEFAULT_BOUNDS.map(formatBytes).join(', ')})`,
      parseSizes,
      DEFAULT_BOUNDS,
    )
    .option('--updates <n>', 'updates in a row with each bound', Number, 3)
    .action(async ({ deviceMemory, ...options }) => {
      await memoryScenario({ ...options, boundsBytes: deviceMemory });
    });
}
