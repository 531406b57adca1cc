import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Command, Option } from 'commander';
import { readMemoryLimits } from '../config/environment.ts';
import { countFlag, sizeFlag } from '../config/flag-values.ts';
import type { DeviceKind } from '../config/jobs.ts';
import type { NeedsSource } from '../plan/plan-update.ts';
import type { CommandContext } from './command-context.ts';

interface Flags {
  readonly checkpointPath: string;
  readonly worldSize: number;
  readonly device: DeviceKind;
  readonly freeMemory: number;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly needs?: string;
  readonly tp?: number;
  readonly ep?: number;
  readonly pp?: number;
  readonly ranksPerHost: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 16 --device-memory 2GiB
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8 --json | jq .summary.imbalance
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 32 --tp 8 --ep 32
With --needs, or any of --tp, --ep and --pp, it also shows what a pull would move: what each rank's worker keeps, and what
each host reads from others. --tp, --ep and --pp go by the names of tensors, as vLLM and SGLang divide common models; what
matches no rule counts as kept by every rank. The file of --needs is JSON: {"ranks": [{"rank": 0, "tensors": {"NAME":
"whole"}}]}; in place of "whole" it may have slices [offset, rows, row bytes, pitch], in bytes.

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
    .option('--needs <file>', 'what each rank keeps, in a JSON file')
    .option('--tp <n>', 'ranks that divide a layer of the model', countFlag)
    .option('--ep <n>', 'ranks that divide the experts of a layer, a multiple of --tp', countFlag)
    .option('--pp <n>', 'stages that divide the layers', countFlag)
    .addOption(new Option('--ranks-per-host <n>', 'neighboring ranks on a host').argParser(countFlag).default(8))
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
        needs: needsSource(flags),
        ranksPerHost: flags.ranksPerHost,
        ...readMemoryLimits(env),
      });
      const { colors } = terminal.out;
      terminal.print(
        flags.json ? JSON.stringify({ ok: true, command: 'plan', ...planned }) : planText(planned, colors),
      );
    });
}

function needsSource({ needs, tp, ep, pp }: Flags): NeedsSource | undefined {
  const hasLayout = [tp, ep, pp].some((size) => size !== undefined);
  if (needs !== undefined && hasLayout) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      '--needs is given together with --tp, --ep or --pp',
      'Give the needs from a file or by rule, not both',
    );
  }
  if (needs !== undefined) return { file: needs };
  return hasLayout ? { layout: { tp: tp ?? 1, ep: ep ?? 1, pp: pp ?? 1, rules: [] } } : undefined;
}
