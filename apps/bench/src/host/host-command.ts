import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { hostScenario } from './host-scenario.ts';

/** Adds `bench host`. */
export function addHostCommand(program: Command): void {
  withPublishOptions(
    program
      .command('host')
      .description('ranks and workers on the host device, compared with memcpy and pread')
      .option('--size <size>', 'bytes of the checkpoint', parseSize, 2 * 2 ** 30)
      .option('--tensor-size <size>', 'bytes of a tensor', parseSize, 8 * 2 ** 20)
      .option('--largest-tensor <size>', 'bytes of one tensor among them', parseSize)
      .option('--shards <n>', 'files', Number, 8)
      .option('--ranks <n>', 'ranks, and the same number of workers', Number, 4)
      .option('--registers <n>', 'registrations, each after a round of their floor', Number, 12)
      .option('--updates <n>', 'updates in a row', Number, 12)
      .option('--bucket-size <size>', 'maximum bytes of a bucket', parseSize),
  ).action(async ({ size, tensorSize, largestTensor, bucketSize, ...options }) => {
    await hostScenario({
      ...options,
      sizeBytes: size,
      tensorBytes: tensorSize,
      largestBytes: largestTensor,
      bucketBytes: bucketSize,
    });
  });
}
