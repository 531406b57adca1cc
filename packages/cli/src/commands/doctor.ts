import { CheckpointEngineError, silentLogger } from '@checkpoint-engine/interface';
import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { readSecrets } from '../config/environment.ts';
import { repeated, timeoutFlag, urlFlag } from '../config/flag-values.ts';
import { ENGINES } from '../config/requests.ts';

interface Flags {
  readonly engine?: (typeof ENGINES)[number];
  readonly endpoint?: readonly string[];
  readonly uds?: readonly string[];
  readonly timeout: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine doctor
  checkpoint-engine doctor --json | jq '.checks[] | select(.status != "found")'
  checkpoint-engine doctor --engine vllm --endpoint http://127.0.0.1:8000

With --engine, the command shows which modules of the engine's model are pulled, and why others are not. It changes
nothing in the engine. CHECKPOINT_ENGINE_API_KEY is sent to the engine as Authorization: Bearer.

Exit status: 0 updates can run on this machine, or the engine answered; 1 otherwise.`;

/** `doctor`: shows what this machine has, what is missing and how to get it, or what a running engine pulls. */
export function doctorCommand(context: CommandContext): Command {
  return new Command('doctor')
    .description(
      'Check this machine for GPUs, drivers, libraries, NICs and limits, or show what a running engine pulls',
    )
    .addOption(
      new Option('--engine <name>', 'query an engine of this kind instead of checking this machine').choices(ENGINES),
    )
    .option('--endpoint <url>', 'address of the engine; once per engine', repeated(urlFlag))
    .option('--uds <path>', 'Unix socket of the engine; once per engine', repeated(String))
    .addOption(
      new Option('--timeout <seconds>', 'time limit for the answer of an engine')
        .argParser(timeoutFlag)
        .default(30_000, '30'),
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: Flags) => {
      const asksEngine = [flags.engine, flags.endpoint, flags.uds].some((value) => value !== undefined);
      await (asksEngine ? askEngines(flags, context) : checkMachine(flags, context));
    });
}

async function checkMachine({ json }: Flags, { terminal, env, setExitCode }: CommandContext): Promise<void> {
  const { diagnose } = await import('../doctor/diagnose.ts');
  const { diagnosisText } = await import('../doctor/diagnosis-text.ts');
  const diagnosis = await diagnose(env);
  const ok = diagnosis.devices.length > 0;
  terminal.print(
    json ? JSON.stringify({ ok, command: 'doctor', ...diagnosis }) : diagnosisText(diagnosis, terminal.out.colors),
  );
  if (!ok) setExitCode(1);
}

async function askEngines(flags: Flags, { terminal, env }: CommandContext): Promise<void> {
  const { engine = 'vllm', endpoint: endpoints = [], uds = [], timeout: timeoutMs, json } = flags;
  if (endpoints.length + uds.length === 0) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `--engine ${engine} needs --endpoint or --uds`,
      'Add --endpoint http://HOST:PORT or --uds PATH',
    );
  }
  const { diagnoseEngines } = await import('../doctor/diagnose-engine.ts');
  const { enginesText } = await import('../doctor/engine-text.ts');
  const { apiKey } = readSecrets(env);
  const { signal } = new AbortController();
  const engines = await diagnoseEngines({ engine, endpoints, uds, apiKey, timeoutMs, signal, logger: silentLogger });
  terminal.print(
    json ? JSON.stringify({ ok: true, command: 'doctor', engines }) : enginesText(engines, terminal.out.colors),
  );
}
