import { Command, Option } from 'commander';
import { readMemoryLimits } from '../config/environment.ts';
import { countFlag, sizeFlag } from '../config/flag-values.ts';
import type { DeviceKind } from '../config/jobs.ts';
import type { CommandContext } from './command-context.ts';

interface Flags {
  readonly checkpointPath: string;
  readonly worldSize: number;
  readonly device: DeviceKind;
  readonly freeMemory: number;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 16 --device-memory 2GiB
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8 --json | jq .summary.imbalance

PS_MAX_BUCKET_SIZE_GB (in GiB) and PS_MEM_FRACTION have the same effect as on "update".`;

/** `plan`: shows what an update would do, from the file headers alone. */
export function planCommand({ terminal, env }: CommandContext): Command {
  return new Command('plan')
    .description('Show how an update would run, without moving any data')
    .requiredOption('--checkpoint-path <path>', 'a checkpoint folder or a safetensors file')
    .requiredOption('--world-size <n>', 'number of ranks', countFlag)
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['cuda', 'host']).default('cuda'))
    .option('--bucket-size <size>', 'maximum size of a bucket; grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'maximum device memory for the update', sizeFlag)
    .addOption(
      new Option('--free-memory <size>', 'free device memory at the rank that has least')
        .argParser(sizeFlag)
        .default(8 * 2 ** 30, '8GiB'),
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: Flags) => {
      const { planUpdate } = await import('../plan/plan-update.ts');
      const { planText } = await import('../plan/plan-text.ts');
      const planned = await planUpdate({
        path: flags.checkpointPath,
        worldSize: flags.worldSize,
        deviceKind: flags.device,
        freeBytes: flags.freeMemory,
        bucketBytes: flags.bucketSize,
        deviceMemoryBytes: flags.deviceMemory,
        ...readMemoryLimits(env),
      });
      const { colors } = terminal.out;
      terminal.print(
        flags.json ? JSON.stringify({ ok: true, command: 'plan', ...planned }) : planText(planned, colors),
      );
    });
}
