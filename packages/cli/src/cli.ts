import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { Command, CommanderError } from 'commander';
import type { CommandContext } from './command-context.ts';
import { demoCommand } from './commands/demo.ts';
import { demoWorkerCommand } from './commands/demo-worker.ts';
import { doctorCommand } from './commands/doctor.ts';
import { inspectCommand } from './commands/inspect.ts';
import { joinCommand } from './commands/join.ts';
import { planCommand } from './commands/plan.ts';
import { rankCommand } from './commands/rank.ts';
import { serveCommand } from './commands/serve.ts';
import { simulateCommand } from './commands/simulate.ts';
import { updateCommand } from './commands/update.ts';
import { verifyCommand } from './commands/verify.ts';
import type { Environment } from './config/environment.ts';
import type { Terminal } from './output/terminal.ts';
import { interruptStatus } from './process/interrupts.ts';
import { ownVersion } from './process/own-version.ts';
import { reportFailure } from './report-failure.ts';

/** 0: success, 1: failure, 2: wrong arguments; 129, 130, 143: interrupted by SIGHUP, SIGINT, SIGTERM. */
export type ExitCode = number;

const EXAMPLES = `
Examples:
  checkpoint-engine demo                                   run an update on this machine and verify every byte
  checkpoint-engine doctor                                 check whether this machine can run updates
  checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000

Help for a command: checkpoint-engine update --help`;

/** Flags of the Python tool's update script that have another name or do not exist here. */
const PYTHON_FLAGS: Readonly<Record<string, string>> = {
  '--load-metas-file': 'Use checkpoint-engine join --load-metas-file FILE',
  '--metas-url': 'Save the answer of the URL to a file, and use checkpoint-engine join --load-metas-file FILE',
  '--custom-dist': 'Remove it: ranks on GPUs use NCCL; CHECKPOINT_ENGINE_NCCL_LIB selects another NCCL library',
};

/**
 * Runs the command that the arguments name. Never rejects: failures are printed.
 *
 * @returns The exit status of the process.
 */
export async function runCli(args: readonly string[], terminal: Terminal, env: Environment): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  const program = createProgram({
    terminal,
    env,
    setExitCode: (code) => {
      exitCode = code;
    },
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander throws for --help and --version as well.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const failure = error instanceof CommanderError ? usageError(error, program, args) : error;
    reportFailure(failure, args, terminal);
    if (CheckpointEngineError.isInstance(failure) && failure.code === 'CE_CONFIG_INVALID') return 2;
    return interruptStatus() ?? 1;
  }
}

function createProgram(context: CommandContext): Command {
  const program = new Command('checkpoint-engine')
    .description('In-place weight updates for running LLM inference engines')
    .version(ownVersion(), '-V, --version')
    .addHelpText('after', EXAMPLES)
    .showSuggestionAfterError()
    .configureOutput({ writeErr: () => {}, writeOut: (text) => context.terminal.print(text.trimEnd()) })
    .exitOverride();
  const shown = [
    updateCommand,
    joinCommand,
    serveCommand,
    verifyCommand,
    inspectCommand,
    planCommand,
    simulateCommand,
    doctorCommand,
    demoCommand,
  ];
  for (const make of shown) program.addCommand(make(context).copyInheritedSettings(program));
  for (const make of [rankCommand, demoWorkerCommand]) {
    program.addCommand(make(context).copyInheritedSettings(program), { hidden: true });
  }
  return program;
}

/** Converts an error of commander about wrong arguments to an error of this project. */
function usageError(
  { message, code }: CommanderError,
  program: Command,
  args: readonly string[],
): CheckpointEngineError {
  const command = program.commands.find((candidate) => candidate.name() === args[0]);
  const help = ['checkpoint-engine', command?.name(), '--help'].filter(Boolean).join(' ');
  if (code === 'commander.help') {
    return new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      'The command is missing',
      `Run ${help} for a list of commands`,
    );
  }
  const [what = '', ...suggestion] = message.replace(/^error: /, '').split('\n');
  const ported = portedFlag(args);
  if (ported)
    return new CheckpointEngineError('CE_CONFIG_INVALID', `Unknown option '${ported}'`, PYTHON_FLAGS[ported]!);
  const meant = /Did you mean (.*)\?/.exec(suggestion.join(' '))?.[1];
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    capital(what),
    meant ? `Use ${meant}, or run ${help} for a list of options` : `Run ${help} for a list of options`,
  );
}

/** Commands that have this flag of the Python tool. */
const LOADS_METAS: ReadonlySet<string | undefined> = new Set(['join', 'verify']);

/** Finds a flag of the Python tool among the arguments. It is reported before any other problem. */
function portedFlag([command, ...args]: readonly string[]): string | undefined {
  const names = args.map((arg) => arg.split('=', 1)[0]!);
  return names.find(
    (name) => Object.hasOwn(PYTHON_FLAGS, name) && !(LOADS_METAS.has(command) && name === '--load-metas-file'),
  );
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1).replace(/\.$/, '');
}
