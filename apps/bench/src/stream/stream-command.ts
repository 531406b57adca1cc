import process from 'node:process';
import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withWorldOptions } from '../update/update-command.ts';
import { readThreads, streamScenario } from './stream-scenario.ts';

/** Adds `bench stream`. */
export function addStreamCommand(program: Command): void {
  const command = program
    .command('stream')
    .description('from files to live weights: the streaming update, its floors, the pool and the Python tool');
  withWorldOptions(command)
    .requiredOption('--dir <dir>', 'safetensors checkpoint to load')
    .requiredOption('--small-dir <dir>', 'checkpoint of one small tensor (bench checkpoint --model one)')
    .option('--rounds <n>', 'runs in fresh processes, each way', Number, 3)
    .option('--no-pool', 'omit registration into the pool')
    .option('--cold', 'drop the files from the page cache before each run', false)
    .option('--peer', 'run the Python tool too', false)
    .option('--threads <n>', 'threads of the read floor', Number, readThreads())
    .option('--host-memory <size>', 'most host memory that a rank reads into', parseSize)
    .option('--bucket-size <size>', 'most bytes of a bucket', parseSize)
    .option('--json <file>', 'write the figures there')
    .action(async ({ hostMemory, bucketSize, ...options }) => {
      const ok = await streamScenario({ ...options, hostMemoryBytes: hostMemory, bucketBytes: bucketSize });
      if (!ok) process.exitCode = 1;
    });
}
