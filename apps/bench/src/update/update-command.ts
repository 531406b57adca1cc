import { parseSize } from '@checkpoint-engine/planner';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import type { UpdateVariant } from './measured-rank.ts';
import { updateScenario } from './update-scenario.ts';

type Stages = NonNullable<UpdateVariant['stages']>;

interface ParsedOptions {
  readonly bucketSizes: readonly number[];
  readonly deviceMemory?: number | undefined;
  readonly stages: readonly Stages[];
  readonly receivingRanks?: readonly number[] | undefined;
  readonly releaseCommunicators: boolean;
}

/** Adds `bench update`. */
export function addUpdateCommand(program: Command): void {
  const command = program
    .command('update')
    .description('updates of a registered checkpoint: ranks, models, bucket sizes, beside the Python tool and floors');
  withWorldOptions(withPublishOptions(withCheckpointOptions(command)))
    .option('--updates <n>', 'updates in a row that count', Number, 5)
    .option('--warmups <n>', 'updates before them', Number, 1)
    .option('--registers <n>', 'registrations in a row', Number, 2)
    .option('--bucket-sizes <sizes>', 'bucket sizes, one measurement each: 64MiB,2GiB', parseSizes, [])
    .option('--device-memory <size>', 'most bytes of device memory', parseSize)
    .option('--stages <orders>', '3, 2 or auto, one measurement each: 3,2,auto', parseStages, [3])
    .option(
      '--receiving-ranks <ranks>',
      'ranks whose engines receive, the others serve: 0,2 (default: all)',
      parseNumbers,
    )
    .option('--release-communicators', 'give their memory back after each update', false)
    .option('--no-watch-memory', "leave the driver's figure of device memory out")
    .option('--peer', 'run the Python tool against the same engines', false)
    .option('--peer-bucket-gib <sizes>', 'its bucket sizes in GiB: 8,2', parseNumbers, [8])
    .option('--link-floors', 'measure the links with torch and NCCL; on the host, a broadcast with gloo', false)
    .option('--timelines', "keep the timeline of each measurement's last update", false)
    .option('--trace <file>', 'write a trace of the last update of all ranks, for https://ui.perfetto.dev')
    .addHelpText(
      'after',
      `
Examples:
  One GPU with the unmodified Python worker, beside the Python tool:
    bench update --peer --link-floors --json update.json

  Eight GPUs, bucket sizes and orders of stages:
    bench update --ranks 8 --bucket-sizes 64MiB,512MiB,2GiB --stages 3,2,auto --link-floors --peer

  Kimi-K2's 139,583 tensors with shapes that fit:
    bench update --model kimi-k2 --scale 16GiB --peer

  Without a GPU:
    bench update --device host --ranks 4 --model glm-4.5-air --scale 2GiB`,
    )
    .action(async (options) => {
      await updateScenario({ ...options, variants: variantsOf(options) });
    });
}

/** Adds the options that say which world is measured. */
export function withWorldOptions(command: Command): Command {
  return command
    .option('--ranks <n>', 'ranks, each with a receiver; more than GPUs share them: right bytes, not speed', Number, 1)
    .addOption(new Option('--device <kind>', 'what ranks run on').choices(['cuda', 'host']).default('cuda'))
    .addOption(
      new Option('--receiver <who>', 'who holds the weights; on the host always ours')
        .choices(['python', 'ours'])
        .default('python'),
    )
    .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3');
}

function variantsOf({
  bucketSizes,
  deviceMemory,
  stages,
  receivingRanks,
  releaseCommunicators,
}: ParsedOptions): UpdateVariant[] {
  const sizes = bucketSizes.length === 0 ? [undefined] : bucketSizes;
  return stages.flatMap((order) =>
    sizes.map((bucketBytes) => ({
      stages: order,
      ...(bucketBytes !== undefined && { bucketBytes }),
      ...(deviceMemory !== undefined && { deviceMemoryBytes: deviceMemory }),
      ...(receivingRanks !== undefined && { ranks: receivingRanks }),
      ...(releaseCommunicators && { releaseCommunicators }),
    })),
  );
}

/** `64MiB,2GiB` */
export const parseSizes = (text: string): number[] => text.split(',').map(parseSize);

const parseNumbers = (text: string): number[] => text.split(',').map(Number);

function parseStages(text: string): Stages[] {
  return text.split(',').map((one) => {
    if (one === 'auto') return 'auto';
    if (one === '2' || one === '3') return Number(one) as 2 | 3;
    throw new InvalidArgumentError('wanted 3, 2, auto, or several of them with commas');
  });
}
