import { Command } from 'commander';
import type { DeviceKind } from '../config/requests.ts';
import type { LogLevel } from '../output/log-options.ts';

/** `demo-worker`: one worker of `demo`; only `demo` starts it. */
export function demoWorkerCommand(): Command {
  return new Command('demo-worker')
    .argument('<index>')
    .argument('<device>')
    .argument('<socket>')
    .argument('<logLevel>')
    .action(async (index: string, device: DeviceKind, socket: string, logLevel: LogLevel) => {
      const { serveDemoWorker } = await import('../demo/serve-demo-worker.ts');
      await serveDemoWorker({ index: Number(index), device, socket, logLevel });
    });
}
