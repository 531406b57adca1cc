import process from 'node:process';
import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withWorldOptions } from '../update/update-command.ts';
import { readThreads, streamScenario } from './stream-scenario.ts';

/** Adds `bench stream`. */
export function addStreamCommand(program: Command): void {
  const command = program
    .command('stream')
    .description('the streaming update from files to live weights, its floors, the pool and the Python tool');
  withWorldOptions(command)
    .requiredOption('--dir <dir>', 'safetensors checkpoint to load')
    .requiredOption('--small-dir <dir>', 'checkpoint of one small tensor (bench checkpoint --model one)')
    .option('--rounds <n>', 'runs in new processes, per way', Number, 3)
    .option('--no-pool', 'omit registration into the pool')
    .option('--cold', 'drop the files from the page cache before each run', false)
    .option('--peer', 'also run the Python tool', false)
    .option('--threads <n>', 'threads of the read floor', Number, readThreads())
    .option('--host-memory <size>', 'maximum host memory that a rank reads into', parseSize)
    .option('--bucket-size <size>', 'maximum bytes of a bucket', parseSize)
    .option('--json <file>', 'write the figures to this file')
    .action(async ({ hostMemory, bucketSize, ...options }) => {
      const ok = await streamScenario({ ...options, hostMemoryBytes: hostMemory, bucketBytes: bucketSize });
      if (!ok) process.exitCode = 1;
    });
}
