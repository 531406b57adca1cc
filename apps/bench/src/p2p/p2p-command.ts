import { parseSize } from '@checkpoint-engine/planner';
import { type Command, Option } from 'commander';
import { withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { assignmentScenario } from './assignment-scenario.ts';
import { joinScenario } from './join-scenario.ts';
import { rejoinScenario } from './rejoin-scenario.ts';

const MIB = 2 ** 20;

/** Adds `bench p2p`, with a command for each question. */
export function addP2PCommand(program: Command): void {
  const p2p = program.command('p2p').description('updates by reads out of the memory of other ranks, over Mooncake');

  const join = p2p
    .command('join')
    .description('ranks read what another one holds, over TCP on this host, and bring it into an engine each')
    .addOption(new Option('--device <kind>', 'what the joiner runs on').choices(['cuda', 'host']).default('cuda'))
    .addOption(new Option('--receiver <who>', 'what receives').choices(['python', 'ours']).default('python'))
    .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3')
    .option('--mooncake-python <path>', 'Python with Mooncake (default: the first one that has it)')
    .option('--ranks <n>', 'ranks that join, a device each: they share the reads and broadcast', Number, 1)
    .option('--updates <n>', 'updates in a row', Number, 3)
    .option('--bucket-size <size>', 'most bytes of a bucket', parseSize);
  withPublishOptions(withCheckpointOptions(join)).action(({ bucketSize, ...options }) =>
    joinScenario({ ...options, bucketBytes: bucketSize }),
  );

  const assignment = p2p
    .command('assignment')
    .description(
      'owners and joiners on simulated hosts with NICs of a limited rate, beside the best possible; needs root',
    )
    .requiredOption('--mooncake-python <path>', 'Python with Mooncake')
    .option('--owners <n>', 'ranks that serve', Number, 4)
    .option('--joiners <n>', 'ranks that join', Number, 2)
    .option('--rate-mbps <n>', '1e6 bits a second of each NIC', Number, 400)
    .option('--size <size>', 'bytes of the checkpoint', parseSize, 128 * MIB)
    .option('--bucket-size <size>', 'most bytes of a bucket', parseSize, 4 * MIB)
    .option('--updates <n>', 'updates that count', Number, 3);
  withPublishOptions(assignment).action(({ size, bucketSize, ...options }) =>
    assignmentScenario({ ...options, sizeBytes: size, bucketBytes: bucketSize }),
  );

  const rejoin = p2p
    .command('rejoin')
    .description(
      'joiners on another simulated host are killed and join again: nothing may grow or stand still; needs root',
    )
    .requiredOption('--mooncake-python <path>', 'Python with Mooncake')
    .option('--ranks <n>', 'ranks on each side', Number, 2)
    .option('--cycles <n>', 'times that the joiners are killed', Number, 20)
    .option('--shared-cores', 'run both hosts on the same cores (default: each on its own part of them)')
    .option('--size <size>', 'bytes of the checkpoint', parseSize, 64 * MIB)
    .option('--bucket-size <size>', 'most bytes of a bucket', parseSize, 4 * MIB);
  withPublishOptions(rejoin).action(({ size, bucketSize, ...options }) =>
    rejoinScenario({ ...options, sizeBytes: size, bucketBytes: bucketSize }),
  );
}
