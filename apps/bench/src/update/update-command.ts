import { parseSize } from '@checkpoint-engine/planner';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import type { Way } from '../engine/engine-options.ts';
import { engineScenario } from '../engine/engine-scenario.ts';
import { withPublishOptions } from '../report/publish.ts';
import type { UpdateVariant } from '../world/rank.ts';
import { updateScenario } from './update-scenario.ts';

interface ParsedOptions {
  readonly bucketSizes: readonly number[];
  readonly deviceMemory?: number | undefined;
  readonly receivingRanks?: readonly number[] | undefined;
  readonly releaseCommunicators: boolean;
}

/** Adds `bench update`. */
export function addUpdateCommand(program: Command): void {
  const command = program
    .command('update')
    .description(
      'updates of a registered checkpoint: ranks, models, bucket sizes, compared with the Python tool and floors',
    );
  withWorldOptions(withPublishOptions(withCheckpointOptions(command)))
    .option('--updates <n>', 'counted updates', Number, 5)
    .option('--warmups <n>', 'warm-up updates before the counted ones', Number, 1)
    .option('--registers <n>', 'registrations', Number, 2)
    .option('--bucket-sizes <sizes>', 'bucket sizes, one measurement per size: 64MiB,2GiB', parseSizes, [])
    .option('--device-memory <size>', 'maximum bytes of device memory', parseSize)
    .option(
      '--receiving-ranks <ranks>',
      'ranks whose engines receive, while the others only send: 0,2 (default: all)',
      parseNumbers,
    )
    .option('--release-communicators', 'release communicators and their memory after each update', false)
    .option('--no-watch-memory', "omit the driver's figure of device memory")
    .option('--peer', 'run the Python tool against the same engines', false)
    .option('--peer-bucket-gib <sizes>', 'its bucket sizes in GiB: 8,2', parseNumbers, [8])
    .option('--link-floors', 'measure the links with torch and NCCL; on the host, a broadcast with gloo', false)
    .option('--timelines', "keep the timeline of each measurement's last update", false)
    .addOption(new Option('--engine <name>', 'update a real engine as users do').choices(['vllm']))
    .option(
      '--checkpoints <folders>',
      'of --engine: two checkpoints of its model, made by make_model.py: A,B',
      parsePair,
    )
    .option('--endpoint <url>', 'of --engine: a running server with the extension vllm_extension.BenchExtension')
    .option(
      '--loaded',
      'of --endpoint: the server was started with the first checkpoint, which is the reference for comparisons',
      false,
    )
    .option(
      '--through-receiver',
      'of --engine: update through the package checkpoint-engine-worker of the server',
      false,
    )
    .option('--engine-args <args>', 'of --engine: arguments of a server that is started', parseWords, [])
    .option('--ways <ways>', 'of --engine: cli, cli-registered, serve', parseWays, ['cli', 'cli-registered', 'serve'])
    .option(
      '--variants <args>',
      'of --engine: arguments of our commands, one measurement per variant, separated by |',
      parseVariants,
      [''],
    )
    .option('--model-name <name>', 'of --engine: name of the model in results', 'a model')
    .option('--peer-updates <n>', 'of --engine: updates of the Python tool (default: --updates)', Number)
    .option('--trace <file>', 'write a trace of the last update of all ranks, for https://ui.perfetto.dev')
    .addHelpText(
      'after',
      `
Examples:
  One GPU with the unmodified Python worker, beside the Python tool:
    bench update --peer --link-floors --json update.json

  Eight GPUs, several bucket sizes:
    bench update --ranks 8 --bucket-sizes 64MiB,512MiB,2GiB --link-floors --peer

  A real vLLM on two GPUs, beside the Python tool under torchrun:
    bench update --engine vllm --python /opt/vllm/bin/python --ranks 2 --checkpoints /tmp/A,/tmp/B --peer

  Kimi-K2's 139,583 tensors with shapes that fit:
    bench update --model kimi-k2 --scale 16GiB --peer

  Without a GPU:
    bench update --device host --ranks 4 --model glm-4.5-air --scale 2GiB`,
    )
    .action(async (options) => {
      if (options.engine !== undefined) {
        if (options.checkpoints === undefined) throw new InvalidArgumentError('--engine needs --checkpoints A,B');
        return await engineScenario(options);
      }
      await updateScenario({ ...options, variants: variantsOf(options) });
    });
}

/** Adds the options of the measured world. */
export function withWorldOptions(command: Command): Command {
  return command
    .option(
      '--ranks <n>',
      'ranks, each with a receiver; more ranks than GPUs share the GPUs, which tests correctness, not speed',
      Number,
      1,
    )
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['cuda', 'host']).default('cuda'))
    .addOption(
      new Option('--receiver <who>', 'worker that receives the weights; always ours on the host')
        .choices(['python', 'ours'])
        .default('python'),
    )
    .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3');
}

function variantsOf({
  bucketSizes,
  deviceMemory,
  receivingRanks,
  releaseCommunicators,
}: ParsedOptions): UpdateVariant[] {
  const sizes = bucketSizes.length === 0 ? [undefined] : bucketSizes;
  return sizes.map((bucketBytes) => ({
    ...(bucketBytes !== undefined && { bucketBytes }),
    ...(deviceMemory !== undefined && { deviceMemoryBytes: deviceMemory }),
    ...(receivingRanks !== undefined && { ranks: receivingRanks }),
    ...(releaseCommunicators && { releaseCommunicators }),
  }));
}

/** `64MiB,2GiB` */
export const parseSizes = (text: string): number[] => text.split(',').map(parseSize);

const parseWords = (text: string): string[] => text.split(' ').filter((word) => word !== '');

const parseVariants = (text: string): string[] => text.split('|').map((variant) => variant.trim());

function parsePair(text: string): [string, string] {
  const [one, other, ...more] = text.split(',');
  if (!one || !other || more.length > 0) throw new InvalidArgumentError('expected two folders separated by a comma');
  return [one, other];
}

function parseWays(text: string): Way[] {
  const ways = text.split(',');
  const isWay = (way: string): way is Way => ['cli', 'cli-registered', 'serve'].includes(way);
  if (ways.every(isWay)) return ways;
  throw new InvalidArgumentError('expected cli, cli-registered, serve, or several of them separated by commas');
}

const parseNumbers = (text: string): number[] => text.split(',').map(Number);
