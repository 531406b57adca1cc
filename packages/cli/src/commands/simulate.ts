import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { checkpointPathFlag, countFlag, repeated, sizeFlag } from '../config/flag-values.ts';
import type { SimulateFlags } from '../simulate/flags.ts';

const EXAMPLES = `
Examples:
  checkpoint-engine simulate --model kimi-k2 --preset h200 --world-size 256 --tp 16
  checkpoint-engine simulate --checkpoint-path /models/qwen3-30b --topology cluster.json --world-size 64 --method pull
  checkpoint-engine simulate --model kimi-k2 --preset h20 --world-size 256 --tp 16 --sweep nics=1,2,4,8
  checkpoint-engine simulate --model qwen3-8b --preset h100 --world-size 8 --report page.html
  checkpoint-engine simulate --checkpoint-path /models/qwen3-8b --preset h200 --gpus-per-host 4 --world-size 4 \\
    --method broadcast --calibrate trace.json

docs/simulate.md describes the topology file, the layout file, the methods, and the accuracy of predictions.`;

/** `simulate`: predicts how long an update takes on a cluster that the user does not have. */
export function simulateCommand({ terminal }: CommandContext): Command {
  return new Command('simulate')
    .description('Simulate an update on a cluster, without moving any data: time, bottleneck, bytes per link')
    .option('--model <name>', 'a published model')
    .option(
      '--checkpoint-path <path>',
      'a checkpoint folder or a safetensors file, instead of --model',
      checkpointPathFlag,
    )
    .option('--metas-file <file>', 'metas that an update saved with --save-metas-file, instead of --model')
    .option('--preset <name>', 'hosts of 8 GPUs: h800, h20, h100, h200, b200')
    .option('--topology <file>', 'a file that describes the cluster, instead of --preset')
    .requiredOption('--world-size <n>', 'ranks that hold the checkpoint', countFlag)
    .option('--hosts <n>', 'hosts of the cluster (default: as many as the ranks need)', countFlag)
    .option('--gpus-per-host <n>', 'GPUs of each host, instead of those of the topology', countFlag)
    .option('--nics <n>', 'NICs of each host, instead of those of the topology', countFlag)
    .option(
      '--method <name>',
      'broadcast, pull, p2p, python-broadcast, python-p2p, python-p2p-first; repeat it to compare (default: broadcast and pull, or pull with --join)',
      repeated((text) => text),
    )
    .option('--tp <n>', 'ranks that divide a layer (default: the GPUs of a host)', countFlag)
    .option('--pp <n>', 'stages that divide the layers', countFlag)
    .option('--ep <n>', 'ranks that divide the experts', countFlag)
    .option('--layout <file>', 'a file with rules for how ranks divide tensors')
    .addOption(
      new Option('--source <name>', 'location of the weights at the start').choices([
        'memory',
        'files',
        'shared-files',
      ]),
    )
    .option('--join <n>', 'ranks that join and receive from the world', countFlag)
    .option('--receivers <n>', 'ranks that receive with python-p2p or python-p2p-first', countFlag)
    .option('--bucket-size <size>', 'size of a bucket, or of a chunk of the pull', sizeFlag)
    .option('--device-memory <size>', 'maximum device memory for the update', sizeFlag)
    .option('--first-update', 'simulate the first update of a process')
    .option('--sweep <name=values>', 'vary world-size, bucket-size or nics: nics=1,2,4,8')
    .option('--calibrate <file>', 'first fit rates and costs to the trace of a real update (update --trace)')
    .option(
      '--report <file>',
      'write an HTML page with a timeline, the bottleneck and possible improvements (needs @checkpoint-engine/report)',
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: SimulateFlags) => {
      const { runSimulate } = await import('../simulate/run-simulate.ts');
      await runSimulate(flags, terminal);
    });
}
