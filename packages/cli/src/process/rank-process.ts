import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { deathError, type RankFailure } from './first-failure.ts';
import { parseMessage, readLines } from './json-lines.ts';
import type { FromRank, ToRank } from './messages.ts';
import { ownCommand } from './runtime.ts';

/** What a {@link RankProcess} is started with. */
export interface RankProcessOptions {
  readonly rank: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Lines of the rank's standard error. */
  readonly onLogLine: (line: string, rank: number) => void;
  readonly onEvent: (event: ProgressEvent) => void;
  /** Called once, when the rank has reported a failure or died. */
  readonly onFailure: (failure: RankFailure) => void;
}

type Reply = Exclude<FromRank, { type: 'events' | 'failed' }>;

/** Lines of standard error that are kept for a rank that dies without a word. */
const LAST_LINES = 20;

/** A rank in a process of its own, run by this same program. It ends when this process does. */
export class RankProcess {
  readonly rank: number;
  /** Resolves when the process has ended and all that it wrote was read. Never rejects. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #options: RankProcessOptions;
  readonly #lastLines: string[] = [];
  #waiting: { type: Reply['type']; resolve: (reply: Reply) => void } | undefined;
  #hasFailed = false;
  #mayEnd = false;

  constructor(options: RankProcessOptions) {
    this.rank = options.rank;
    this.#options = options;
    const { file, args } = ownCommand(['rank']);
    this.#child = spawn(file, args, { env: options.env, stdio: ['pipe', 'pipe', 'pipe'] });
    // A rank that is gone cannot be told anything; that it is gone is seen by its end.
    this.#child.stdin.on('error', () => {});
    this.ended = this.#watch();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Sends a message and resolves with the reply of that type. Stays pending when the rank fails: see `onFailure`. */
  request<T extends Reply['type']>(message: ToRank, type: T): Promise<Extract<Reply, { type: T }>> {
    return new Promise((resolve) => {
      this.#waiting = { type, resolve: resolve as (reply: Reply) => void };
      this.send(message);
    });
  }

  send(message: ToRank): void {
    if (this.#child.stdin.writable) this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  /** Lets the rank give back what it holds and end. From now on its end is no failure. */
  close(): void {
    this.#mayEnd = true;
    this.send({ type: 'close' });
    this.#child.stdin.end();
  }

  /** Ends the process now. From now on its end is no failure. */
  kill(): void {
    this.#mayEnd = true;
    this.#child.kill('SIGKILL');
  }

  async #watch(): Promise<void> {
    const { stdout, stderr } = this.#child;
    const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      this.#child.once('error', (error) => {
        this.#fail(
          new CheckpointEngineError(
            'CE_INTERNAL',
            `Rank ${this.rank} could not be started: ${error.message}`,
            'Look at the limits on processes (ulimit -u) and on memory',
            { rank: this.rank, cause: error },
          ),
          false,
        );
        resolve({ code: null, signal: null });
      });
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const [{ code, signal }] = await Promise.all([
      exited,
      readLines(stdout, (line) => this.#onLine(line)),
      readLines(stderr, (line) => this.#onLogLine(line)),
    ]);
    if (!this.#mayEnd && !this.#hasFailed) {
      this.#fail(deathError(this.rank, { code, signal, lastLines: this.#lastLines }), true);
    }
  }

  #onLine(line: string): void {
    const message = parseMessage(line) as FromRank | undefined;
    if (!message) {
      // Libraries print where they please.
      this.#onLogLine(line);
    } else if (message.type === 'events') {
      for (const event of message.events) this.#options.onEvent(event);
    } else if (message.type === 'failed') {
      this.#fail(CheckpointEngineError.fromJSON(message.error), false, message.atMs);
    } else if (message.type === this.#waiting?.type) {
      const { resolve } = this.#waiting;
      this.#waiting = undefined;
      resolve(message);
    }
  }

  #onLogLine(line: string): void {
    this.#lastLines.push(line);
    if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift();
    this.#options.onLogLine(line, this.rank);
  }

  #fail(error: CheckpointEngineError, died: boolean, atMs = Date.now()): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.onFailure({ rank: this.rank, error, atMs, died });
  }
}
