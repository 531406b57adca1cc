import process from 'node:process';
import { parseSize } from '@checkpoint-engine/planner';
import { Command, Option } from 'commander';
import { addChaosCommand } from './chaos/chaos-command.ts';
import { addCheckpointCommand } from './checkpoints/checkpoint-command.ts';
import { checksScenario } from './checks/checks-scenario.ts';
import { complianceScenario } from './compliance/compliance-scenario.ts';
import { addGatherCommand } from './gather/gather-command.ts';
import { addHostCommand } from './host/host-command.ts';
import { killScenario } from './kill/kill-scenario.ts';
import { addMemoryCommand } from './memory/memory-command.ts';
import { addP2PCommand } from './p2p/p2p-command.ts';
import { addPlanCommand } from './plan/plan-command.ts';
import { addRegisterCommand } from './register/register-command.ts';
import { addResultsCommand } from './results/results-command.ts';
import { addSoakCommand } from './soak/soak-command.ts';
import { addStartupCommand } from './startup/startup-command.ts';
import { readThreads, streamScenario } from './stream/stream-scenario.ts';
import { addUpdateCommand } from './update/update-command.ts';

const program = new Command('bench').description('Measures checkpoint-engine beside its floors and its peers');

addUpdateCommand(program);
addCheckpointCommand(program);
addResultsCommand(program);

program
  .command('stream')
  .description('from files to live weights: the streaming update beside its floors, the pool and the Python tool')
  .requiredOption('--dir <dir>', 'safetensors checkpoint to bring in')
  .requiredOption('--small-dir <dir>', 'checkpoint of one small tensor (bench checkpoint --model one)')
  .addOption(new Option('--device <kind>', 'what ranks and workers run on').choices(['cuda', 'host']).default('cuda'))
  .option('--ranks <n>', 'ranks, and as many receivers', Number, 1)
  .option('--rounds <n>', 'runs in fresh processes, each way', Number, 3)
  .option('--no-pool', 'leave registering into the pool out')
  .option('--cold', 'drop the files from the page cache before each run', false)
  .option('--peer', 'run the Python tool too', false)
  .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3')
  .option('--threads <n>', 'threads of the read floor', Number, readThreads())
  .option('--host-memory <size>', 'most host memory that a rank reads into', parseSize)
  .option('--bucket-size <size>', 'most bytes of a bucket', parseSize)
  .option('--json <file>', 'write the figures there')
  .action(async ({ hostMemory, bucketSize, ...options }) => {
    const ok = await streamScenario({ ...options, hostMemoryBytes: hostMemory, bucketBytes: bucketSize });
    if (!ok) process.exitCode = 1;
  });

program
  .command('checks')
  .description('faults, leaks and a real language model on one GPU')
  .requiredOption('--dir <dir>', 'safetensors checkpoint of a few gigabytes')
  .requiredOption('--lm-dir <dir>', 'folder of python/make_lm.py')
  .option('--python <path>', 'Python with torch, transformers and checkpoint-engine', 'python3')
  .action(async (options) => {
    if (!(await checksScenario(options))) process.exitCode = 1;
  });

program
  .command('compliance')
  .description('the suite that every broadcast transport passes, each member a process')
  .addOption(new Option('--transport <name>', 'what is tested').choices(['nccl', 'shm']).default('nccl'))
  .option('--ranks <n>', 'members of the largest group', Number)
  .option('--large-memory', 'also test a range beyond 4 GiB', false)
  .action(complianceScenario);

program
  .command('kill')
  .description('one rank is killed in the middle of a broadcast, and restarted')
  .requiredOption('--dir <dir>', 'safetensors checkpoint')
  .option('--ranks <n>', 'ranks, 2 and more; more than GPUs share them', Number, 3)
  .addOption(new Option('--device <kind>', 'what the ranks run on').choices(['cuda', 'host']).default('cuda'))
  .addOption(new Option('--receiver <who>', 'who holds the weights').choices(['python', 'ours']).default('python'))
  .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3')
  .option('--bucket-size <size>', 'most bytes of a bucket', parseSize, 16 * 2 ** 20)
  .option('--json <file>', 'write the figures there')
  .action(async ({ bucketSize, ...options }) => {
    if (!(await killScenario({ ...options, bucketBytes: bucketSize }))) process.exitCode = 1;
  });

addRegisterCommand(program);
addStartupCommand(program);
addMemoryCommand(program);

addHostCommand(program);
addSoakCommand(program);
addChaosCommand(program);
addGatherCommand(program);
addPlanCommand(program);
addP2PCommand(program);

await program.parseAsync();
