import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { countFlag, nameFlag, repeated, timeoutFlag, urlFlag } from '../config/flag-values.ts';
import { ENGINES } from '../config/requests.ts';
import { type VerifyFlags, verifyConfig } from '../config/verify-config.ts';
import { addRankOptions } from './delivery-flags.ts';
import { barsLogLevelOption, jsonOption, logFormatOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  Does the vLLM server on the 8 GPUs of this machine hold these weights, byte for byte?
    checkpoint-engine verify --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000

  The same, with the SHA-256 of each file, for programs:
    checkpoint-engine verify --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000 \\
      --sha256 --json

  Against the digests in a metas file, without reading weights:
    checkpoint-engine verify --load-metas-file /shared/step-100.metas --nproc-per-node 8 --endpoint http://127.0.0.1:8000

  Against a checkpoint that "checkpoint-engine serve" has registered, in the engines of that server:
    checkpoint-engine verify --server http://127.0.0.1:19730 --checkpoint-name step-100

The engine keeps its weights, and requests continue. It needs the receiver of this project (checkpoint-engine-worker, or
@checkpoint-engine/worker with \`pullerOf\`) and one update through it since it started: during that update it learns which
of its parameters are bytes of the checkpoint. Parameters in another form, such as quantized layouts, cannot be compared;
they are listed, and with --strict they count as a difference.

Environment:
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer
  CHECKPOINT_ENGINE_TOKEN     sent to the server of --server as Authorization: Bearer

Exit status: 0 all compared bytes are equal, 1 something differs or the engine cannot be verified, 2 wrong arguments,
130 or 143 interrupted by SIGINT or SIGTERM.`;

/** `verify`: compares what an engine holds with a checkpoint. */
export function verifyCommand({ terminal, env, setExitCode }: CommandContext): Command {
  const command = new Command('verify')
    .description('Compare what a running engine holds with a checkpoint, without updating it')
    .option('--checkpoint-path <path>', 'a checkpoint folder or a safetensors file')
    .option('--load-metas-file <file>', 'a file from update --save-metas-file, with the digests to compare')
    .option('--server <url>', 'address of checkpoint-engine serve, which compares a checkpoint that it has registered')
    .option('--server-uds <path>', 'Unix socket of checkpoint-engine serve')
    .option(
      '--checkpoint-name <name>',
      'name of the checkpoint at the server or in the metas; with --checkpoint-path, its name in the output',
      nameFlag,
    );
  addRankOptions(command, 'ranks whose engines are compared')
    .addOption(new Option('--engine <name>', 'kind of the engine').choices(ENGINES).default('vllm'))
    .option(
      '--endpoint <url>',
      'address of the engine; once for all inference groups, or once per group',
      repeated(urlFlag),
    )
    .option('--uds <path>', 'Unix socket of the engine; once for all groups, or once per group', repeated(String))
    .option('--inference-parallel-size <m>', 'ranks per engine (default: all, divided among the endpoints)', countFlag)
    .option('--sha256', 'also compute the SHA-256 of each file, from the same bytes')
    .option('--strict', 'exit with 1 if some tensors cannot be compared')
    .addOption(
      new Option('--timeout <seconds>', 'time-out of reading the files, and of the engine')
        .argParser(timeoutFlag)
        .default(300_000, '300'),
    )
    .addOption(jsonOption())
    .addOption(barsLogLevelOption())
    .addOption(logFormatOption());
  return command.addHelpText('after', EXAMPLES).action(async (flags: VerifyFlags) => {
    const config = verifyConfig(flags, env);
    const { verify } = await import('../verify/verify.ts');
    setExitCode(await verify(config, { terminal, env }));
  });
}
