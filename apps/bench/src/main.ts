import process from 'node:process';
import { parseSize } from '@checkpoint-engine/planner';
import { Command, Option } from 'commander';
import { checksScenario } from './checks/checks-scenario.ts';
import { complianceScenario } from './compliance/compliance-scenario.ts';
import { hostScenario } from './host/host-scenario.ts';
import { killScenario } from './kill/kill-scenario.ts';
import { freshScenario } from './register/fresh-scenario.ts';
import { registerScenario } from './register/register-scenario.ts';
import { readThreads, streamScenario } from './stream/stream-scenario.ts';
import { updateScenario } from './update/update-scenario.ts';
import { worldScenario } from './world/world-scenario.ts';

const program = new Command('bench').description('Measures checkpoint-engine beside its floors and its peers');

program
  .command('update')
  .description('one rank on one GPU against the unmodified Python worker, beside the Python tool')
  .requiredOption('--dir <dir>', 'safetensors checkpoint to bring in')
  .requiredOption('--small-dir <dir>', 'checkpoint of one small tensor (python/make_checkpoint.py --model one)')
  .option('--updates <n>', 'updates in a row', Number, 5)
  .option('--registers <n>', 'registrations in a row', Number, 2)
  .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3')
  .option('--no-peer', 'leave the Python tool out')
  .option('--bucket-size <size>', 'most bytes of a bucket', parseSize)
  .option('--device-memory <size>', 'most bytes of device memory', parseSize)
  .option('--json <file>', 'write the figures there')
  .action(async ({ bucketSize, deviceMemory, ...options }) => {
    const ok = await updateScenario({ ...options, bucketBytes: bucketSize, deviceMemoryBytes: deviceMemory });
    if (!ok) process.exitCode = 1;
  });

program
  .command('stream')
  .description('from files to live weights: the streaming update beside its floors, the pool and the Python tool')
  .requiredOption('--dir <dir>', 'safetensors checkpoint to bring in')
  .requiredOption('--small-dir <dir>', 'checkpoint of one small tensor (python/make_checkpoint.py --model one)')
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
  .command('world')
  .description('several ranks over NCCL, each with an unmodified Python worker')
  .requiredOption('--dir <dir>', 'safetensors checkpoint to bring in')
  .option('--ranks <n>', 'ranks; more than GPUs share them, for correctness only', Number, 2)
  .option('--updates <n>', 'updates in a row', Number, 4)
  .option('--python <path>', 'Python with torch and checkpoint-engine', 'python3')
  .option('--bucket-size <size>', 'most bytes of a bucket', parseSize)
  .option('--device-memory <size>', 'most bytes of device memory', parseSize)
  .addOption(new Option('--stages <count>', 'order of copies and broadcasts').choices(['2', '3', 'auto']).default('3'))
  .option('--release-communicators', 'give their memory back after each update', false)
  .option('--trace <file>', 'write a trace of the last update of all ranks, for https://ui.perfetto.dev')
  .option('--json <file>', 'write the figures there')
  .action(async ({ bucketSize, deviceMemory, stages, ...options }) => {
    const ok = await worldScenario({
      ...options,
      stages: stages === 'auto' ? 'auto' : stages === '2' ? 2 : 3,
      bucketBytes: bucketSize,
      deviceMemoryBytes: deviceMemory,
    });
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

program
  .command('register')
  .description('files into the pool, beside plain threads that read')
  .requiredOption('--dir <dir>', 'safetensors checkpoint')
  .option('--threads <n>', 'threads that read', Number)
  .option('--rounds <n>', 'registrations in a row', Number, 3)
  .option('--fresh', 'in memory that is used for the first time, too, step by step', false)
  .option('--json <file>', 'with --fresh: write the result there')
  .action(async ({ fresh, ...options }) => {
    await (fresh ? freshScenario(options) : registerScenario(options));
  });

program
  .command('host')
  .description('ranks and workers on the host device, beside memcpy and pread')
  .option('--size <size>', 'bytes of the checkpoint', parseSize, 2 * 2 ** 30)
  .option('--tensor-size <size>', 'bytes of a tensor', parseSize, 8 * 2 ** 20)
  .option('--ranks <n>', 'ranks, and as many workers', Number, 4)
  .option('--updates <n>', 'updates in a row', Number, 4)
  .option('--bucket-size <size>', 'most bytes of a bucket', parseSize)
  .option('--json <file>', 'write the figures there')
  .action(async ({ size, tensorSize, bucketSize, ...options }) => {
    const ok = await hostScenario({ ...options, sizeBytes: size, tensorBytes: tensorSize, bucketBytes: bucketSize });
    if (!ok) process.exitCode = 1;
  });

await program.parseAsync();
