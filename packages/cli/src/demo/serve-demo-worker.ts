import { stdin } from 'node:process';
import { copyingWorker, serveWorker } from '@checkpoint-engine/worker';
import type { DeviceKind } from '../config/requests.ts';
import { createLogger } from '../output/log.ts';
import type { LogLevel } from '../output/log-options.ts';
import { writeLog, writeOutput } from '../output/standard-streams.ts';
import { exitAfter, exitNow } from '../process/exit-after.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import { parseMessage, readLines } from '../process/json-lines.ts';
import { openDevice } from '../rank/open-device.ts';
import type { FromDemoWorker, HeldTensorInfo, ToDemoWorker } from './worker-messages.ts';

/** The options of a demo worker. */
export interface DemoWorkerOptions {
  readonly index: number;
  readonly device: DeviceKind;
  /** Path of the worker's Unix socket. */
  readonly socket: string;
  readonly logLevel: LogLevel;
}

/** Replaces an inference engine on one device: keeps a copy of every tensor. Runs until its input ends. */
export async function serveDemoWorker({ index, device: kind, socket, logLevel }: DemoWorkerOptions): Promise<void> {
  const send = (message: FromDemoWorker): void => writeOutput(`${JSON.stringify(message)}\n`);
  const logger = createLogger(logLevel, { writeLine: (line) => writeLog(`${line}\n`) }, { worker: index });
  const device = await openDevice(kind, index);
  const worker = copyingWorker({ device });
  const server = await serveWorker({
    devices: [device],
    onUpdate: worker.receive,
    listen: { path: socket },
    logger,
  }).catch(async (error: unknown) => {
    await worker.close();
    await device.close();
    throw error;
  });

  // Ctrl-C reaches every process of the demo, but the parent decides when this worker ends.
  const interrupts = watchInterrupts();
  interrupts.insisted.addEventListener('abort', exitNow, { once: true });
  let work: Promise<void> = Promise.resolve();
  const ended = readLines(stdin, (line) => {
    const message = parseMessage(line) as ToDemoWorker | undefined;
    if (message?.type !== 'describe') return;
    work = work.then(async () => {
      const tensors: [string, HeldTensorInfo][] = [];
      for (const [name, { range }] of worker.tensors) {
        const address = range.memory.address + BigInt(range.offsetBytes);
        tensors.push([name, { digest: await worker.digest(name), address: `${address}` }]);
      }
      // A tensor can have the name `__proto__`.
      send({ type: 'described', tensors: Object.fromEntries(tensors) });
    });
  });
  send({ type: 'listening' });
  await ended;
  exitAfter(5_000);
  await work;
  await server.close();
  await worker.close();
  await device.close();
  interrupts.stop();
}
