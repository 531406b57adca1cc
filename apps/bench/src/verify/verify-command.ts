import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withPublishOptions } from '../report/publish.ts';
import { verifyScenario } from './verify-scenario.ts';

/** Adds `bench verify`. */
export function addVerifyCommand(program: Command): void {
  withPublishOptions(
    program
      .command('verify')
      .description(
        'the cost of digests in registrations and updates on the host device, compared with copies and reads of memory',
      )
      .option('--size <size>', 'bytes of the checkpoint', parseSize, 2 ** 30)
      .option('--tensor-size <size>', 'bytes of each tensor', parseSize, 8 * 2 ** 20)
      .option(
        '--rounds <n>',
        'repetitions of registrations, after a warm-up; updates are repeated 4 times as often',
        Number,
        9,
      ),
  ).action(async ({ size, tensorSize, ...options }) => {
    await verifyScenario({ ...options, sizeBytes: size, tensorBytes: tensorSize });
  });
}
