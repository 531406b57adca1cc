import { Command } from 'commander';
import { addCheckpointCommand } from './checkpoints/checkpoint-command.ts';
import { addGatherCommand } from './gather/gather-command.ts';
import { addHostCommand } from './host/host-command.ts';
import { addMemoryCommand } from './memory/memory-command.ts';
import { addP2PCommand } from './p2p/p2p-command.ts';
import { addPlanCommand } from './plan/plan-command.ts';
import { addRegisterCommand } from './register/register-command.ts';
import { addResultsCommand } from './results/results-command.ts';
import { addSimulateCommand } from './simulate/simulate-command.ts';
import { addStartupCommand } from './startup/startup-command.ts';
import { addStreamCommand } from './stream/stream-command.ts';
import { addUpdateCommand } from './update/update-command.ts';
import { addVerifyCommand } from './verify/verify-command.ts';

const program = new Command('bench').description('Measures checkpoint-engine, the floors of the machine and the peers');

for (const addCommand of [
  addUpdateCommand,
  addRegisterCommand,
  addStreamCommand,
  addHostCommand,
  addMemoryCommand,
  addVerifyCommand,
  addStartupCommand,
  addGatherCommand,
  addPlanCommand,
  addP2PCommand,
  addSimulateCommand,
  addCheckpointCommand,
  addResultsCommand,
]) {
  addCommand(program);
}

await program.parseAsync();
