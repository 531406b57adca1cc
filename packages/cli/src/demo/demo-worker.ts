import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseMessage, readLines } from '../process/json-lines.ts';
import { ownCommand } from '../process/runtime.ts';
import type { DemoWorkerOptions } from './serve-demo-worker.ts';
import type { FromDemoWorker, HeldTensorInfo, ToDemoWorker } from './worker-messages.ts';

/** Time limit for a worker to start, and to compute digests. */
const ANSWER_MS = 300_000;

/** A worker of the demo, in its own process. It ends when this process ends. */
export class DemoWorker {
  readonly index: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<void>;
  #resolve: ((message: FromDemoWorker) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  private constructor({ index, device, socket, logLevel }: DemoWorkerOptions, onLogLine: (line: string) => void) {
    this.index = index;
    const { file, args } = ownCommand(['demo-worker', `${index}`, device, socket, logLevel]);
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin.on('error', () => {});
    const exited = new Promise<string>((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      this.#child.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit status ${code}`));
    });
    this.#ended = Promise.all([
      exited,
      readLines(this.#child.stdout, (line) => this.#onLine(line)),
      readLines(this.#child.stderr, onLogLine),
    ]).then(([how]) => this.#reject?.(diedError(index, how)));
  }

  /** Starts a worker. Resolves when it listens. */
  static async start(options: DemoWorkerOptions, onLogLine: (line: string) => void): Promise<DemoWorker> {
    const worker = new DemoWorker(options, onLogLine);
    try {
      await worker.#next('listening');
    } catch (error) {
      await worker.close();
      throw error;
    }
    return worker;
  }

  /** Digests of the worker's tensors, by name. */
  async describe(): Promise<ReadonlyMap<string, HeldTensorInfo>> {
    const described = this.#next('described');
    this.#child.stdin.write(`${JSON.stringify({ type: 'describe' } satisfies ToDemoWorker)}\n`);
    return new Map(Object.entries((await described).tensors));
  }

  /** Ends the process. Idempotent. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await this.#ended;
    clearTimeout(timer);
  }

  #next<T extends FromDemoWorker['type']>(type: T): Promise<Extract<FromDemoWorker, { type: T }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(silentError(this.index, type)), ANSWER_MS);
      this.#reject = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#resolve = (message) => {
        if (message.type !== type) return;
        clearTimeout(timer);
        resolve(message as Extract<FromDemoWorker, { type: T }>);
      };
    });
  }

  #onLine(line: string): void {
    const message = parseMessage(line) as FromDemoWorker | undefined;
    if (message) this.#resolve?.(message);
  }
}

function diedError(index: number, how: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_LOST',
    `Worker ${index} of the demo died: ${how}`,
    'Run the demo with --log-level debug, and with a smaller --size if memory is short',
  );
}

function silentError(index: number, type: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `Worker ${index} of the demo did not report "${type}" within ${ANSWER_MS} ms`,
    'Run the demo with --log-level debug, and with a smaller --size',
  );
}
