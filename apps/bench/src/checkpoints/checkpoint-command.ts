import process from 'node:process';
import type { Command } from 'commander';
import { benchCheckpoint, type CheckpointOptions, withCheckpointOptions } from './bench-checkpoint.ts';

/** Adds `bench checkpoint`. */
export function addCheckpointCommand(program: Command): void {
  withCheckpointOptions(
    program.command('checkpoint').description('creates a checkpoint of a model, and prints its folder'),
  ).action(async (options: CheckpointOptions) => {
    const { folder } = await benchCheckpoint(options);
    process.stdout.write(`${folder}\n`);
  });
}
