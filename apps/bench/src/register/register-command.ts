import { type Command, Option } from 'commander';
import { benchCheckpoint, withCheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { withPublishOptions } from '../report/publish.ts';
import { readThreads } from '../stream/stream-scenario.ts';
import { freshScenario } from './fresh-scenario.ts';
import type { RegisterScenarioOptions } from './register-options.ts';
import { registerScenario } from './register-scenario.ts';

/** Adds `bench register`. */
export function addRegisterCommand(program: Command): void {
  const command = program
    .command('register')
    .description('warm files into the pool, compared with plain threads that read, the Python tool and safetensors');
  withPublishOptions(withCheckpointOptions(command))
    .addOption(new Option('--device <kind>', 'whose pool').choices(['cuda', 'host']).default('cuda'))
    .option('--threads <n>', 'threads that read', Number, readThreads())
    .option('--rounds <n>', 'registrations, each after a round of their floor; the first one is a warm-up', Number, 5)
    .option('--fresh', 'only registration in fresh memory and in used memory, step by step', false)
    .option('--peer', 'run the safetensors library, and with a GPU the Python tool, on the same files', false)
    .option('--python <path>', 'Python with torch and safetensors', 'python3')
    .action(async ({ fresh, ...options }: RegisterScenarioOptions & { fresh: boolean }) => {
      if (fresh) await freshScenario({ ...options, dir: (await benchCheckpoint(options)).folder });
      else await registerScenario(options);
    });
}
