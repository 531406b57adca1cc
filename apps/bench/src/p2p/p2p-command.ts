import { parseSize } from '@checkpoint-engine/planner';
import type { Command } from 'commander';
import { withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { withWorldOptions } from '../update/update-command.ts';
import { assignmentScenario } from './assignment-scenario.ts';
import { joinScenario } from './join-scenario.ts';

const MIB = 2 ** 20;

/** Adds `bench p2p`, with one subcommand per scenario. */
export function addP2PCommand(program: Command): void {
  const p2p = program.command('p2p').description('updates that read the memory of other ranks, over Mooncake');

  const join = p2p
    .command('join')
    .description('ranks read the weights of another rank over TCP on this host, and load them into their engines')
    .option('--mooncake-python <path>', 'Python with Mooncake (default: the first one that has it)')
    .option('--updates <n>', 'updates in a row', Number, 3)
    .option('--bucket-size <size>', 'maximum bytes of a bucket', parseSize);
  withWorldOptions(withPublishOptions(withCheckpointOptions(join))).action(({ bucketSize, ...options }) =>
    joinScenario({ ...options, bucketBytes: bucketSize }),
  );

  const assignment = p2p
    .command('assignment')
    .description(
      'owners and joiners on simulated hosts with NICs of a limited rate, compared with the best possible time; needs root',
    )
    .requiredOption('--mooncake-python <path>', 'Python with Mooncake')
    .option('--owners <n>', 'ranks that serve', Number, 4)
    .option('--joiners <n>', 'ranks that join', Number, 2)
    .option('--rate-mbps <n>', 'rate of each NIC, in 1e6 bits per second', Number, 400)
    .option('--size <size>', 'bytes of the checkpoint', parseSize, 128 * MIB)
    .option('--bucket-size <size>', 'maximum bytes of a bucket', parseSize, 4 * MIB)
    .option('--updates <n>', 'updates that count', Number, 3);
  withPublishOptions(assignment).action(({ size, bucketSize, ...options }) =>
    assignmentScenario({ ...options, sizeBytes: size, bucketBytes: bucketSize }),
  );
}
