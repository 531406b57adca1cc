import type { EngineName } from '@checkpoint-engine/engines';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { neededEngineTargets } from '../config/engine-targets.ts';
import { readMemoryLimits } from '../config/environment.ts';
import { checkpointPathFlag, countFlag, repeated, sizeFlag, timeoutFlag, urlFlag } from '../config/flag-values.ts';
import { type DeviceKind, ENGINES } from '../config/requests.ts';
import type { NeedsPlan } from '../plan/plan-needs.ts';
import type { NeedsSource } from '../plan/plan-update.ts';

interface Flags {
  readonly checkpointPath: string;
  readonly worldSize: number;
  readonly device: DeviceKind;
  readonly freeMemory: number;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly needs?: string;
  readonly saveNeeds?: string;
  readonly tp?: number;
  readonly ep?: number;
  readonly pp?: number;
  readonly ranksPerHost: number;
  readonly engine: EngineName;
  readonly endpoint?: readonly string[];
  readonly uds?: readonly string[];
  readonly inferenceParallelSize?: number;
  readonly timeout: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 16 --device-memory 2GiB
  checkpoint-engine plan --checkpoint-path /models/qwen3-30b --world-size 8 --json | jq .summary.imbalance
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 32 --tp 8 --ep 32
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 8 --endpoint http://127.0.0.1:8000 --save-needs n.json
  checkpoint-engine plan --checkpoint-path /models/kimi-k2 --world-size 8 --ranks-per-host 4 --needs n.json

With --needs, or any of --tp, --ep and --pp, the plan also shows what a pull would move: what each rank's worker keeps,
and what each host reads from others. --tp, --ep and --pp divide tensors by their names, as vLLM and SGLang divide common
models; every rank keeps tensors that match no rule. The file of --needs is JSON: {"ranks": [{"rank": 0, "tensors":
{"NAME": "whole"}}]}, or instead of "whole" a list of slices [offset, rows, row bytes, pitch], in bytes.

With --endpoint or --uds, the command asks the workers of a running engine on this machine what they keep, as "serve" does
when metas are gathered. The workers record and map what updates need; their weights do not change. A worker that has not
compared its first update yet keeps everything. --save-needs writes the answer to a file for --needs, to plan for other
numbers of hosts without the engine.

PS_MAX_BUCKET_SIZE_GB (in GiB) and PS_MEM_FRACTION have the same effect as for "update".`;

/** `plan`: shows what an update would do, from the file headers alone. */
export function planCommand(context: CommandContext): Command {
  const { terminal, env } = context;
  return new Command('plan')
    .description('Show how an update would run, without moving any data')
    .requiredOption('--checkpoint-path <path>', 'a checkpoint folder or a safetensors file', checkpointPathFlag)
    .requiredOption('--world-size <n>', 'number of ranks', countFlag)
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['cuda', 'host']).default('cuda'))
    .option('--bucket-size <size>', 'maximum size of a bucket; grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'maximum device memory for the update', sizeFlag)
    .addOption(
      new Option('--free-memory <size>', 'free device memory, on the rank that has the least')
        .argParser(sizeFlag)
        .default(8 * 2 ** 30, '8GiB'),
    )
    .option('--needs <file>', 'a JSON file that lists what each rank keeps')
    .option('--save-needs <file>', "write what the engine's workers keep to a file for --needs")
    .option('--tp <n>', 'ranks that divide a layer of the model', countFlag)
    .option('--ep <n>', 'ranks that divide the experts of a layer, a multiple of --tp', countFlag)
    .option('--pp <n>', 'stages that divide the layers', countFlag)
    .addOption(new Option('--ranks-per-host <n>', 'neighboring ranks on a host').argParser(countFlag).default(8))
    .addOption(
      new Option('--engine <name>', 'kind of the engine whose workers are queried').choices(ENGINES).default('vllm'),
    )
    .option(
      '--endpoint <url>',
      'address of the engine; once for all inference groups, or once per group',
      repeated(urlFlag),
    )
    .option('--uds <path>', 'Unix socket of the engine; once for all groups, or once per group', repeated(String))
    .option('--inference-parallel-size <m>', 'ranks per engine', countFlag)
    .addOption(
      new Option('--timeout <seconds>', 'time limit for the answer of the engine')
        .argParser(timeoutFlag)
        .default(300_000, '300'),
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
        needs: needsSource(flags, context),
        ranksPerHost: flags.ranksPerHost,
        ...readMemoryLimits(env),
      });
      const { colors } = terminal.out;
      terminal.print(
        flags.json ? JSON.stringify({ ok: true, command: 'plan', ...planned }) : planText(planned, colors),
      );
    });
}

function needsSource(flags: Flags, context: CommandContext): NeedsSource | undefined {
  const { needs, saveNeeds, tp, ep, pp, endpoint, uds } = flags;
  const given = [needs, tp ?? ep ?? pp, endpoint ?? uds].filter((value) => value !== undefined);
  if (given.length > 1) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      'More than one of --needs, a layout (--tp, --ep, --pp) and an engine (--endpoint, --uds) are given',
      'Use only one of them',
    );
  }
  if (saveNeeds !== undefined && (endpoint ?? uds) === undefined) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      '--save-needs needs an engine, but neither --endpoint nor --uds is given',
      'Add --endpoint http://HOST:PORT or --uds PATH',
    );
  }
  if (needs !== undefined) return { file: needs };
  if (endpoint !== undefined || uds !== undefined) return { ask: () => ask(flags, context) };
  return given.length > 0 ? { layout: { tp: tp ?? 1, ep: ep ?? 1, pp: pp ?? 1, rules: [] } } : undefined;
}

async function ask(flags: Flags, context: CommandContext): Promise<NeedsPlan> {
  const { checkpointPath: path, worldSize, device: deviceKind, timeout: timeoutMs } = flags;
  const saveNeeds = flags.saveNeeds === undefined ? undefined : { path: flags.saveNeeds, flag: '--save-needs' };
  const targets = neededEngineTargets(flags, worldSize);
  const { askWorkers } = await import('../plan/ask-workers.ts');
  return await askWorkers({ path, worldSize, deviceKind, targets, timeoutMs, saveNeeds }, context);
}
