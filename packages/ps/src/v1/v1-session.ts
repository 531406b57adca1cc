import { abortError, CheckpointEngineError, type SharedMemory } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { Backoff } from '@checkpoint-engine/store/internal';
import type { BucketMessage, FinishOptions, SessionCallOptions, SessionOptions, WorkerSession } from '../session.ts';
import { type Task, type Worker, workerLost, workerRefused, workerTimedOut } from './errors.ts';
import { CUDA_HANDLE_BYTES, encodeBucket, encodeBuffer, encodeError, encodeNone } from './messages.ts';
import { WorkerLink } from './worker-link.ts';

/** Options of the protocol, in addition to those of each session. */
export interface V1Options {
  /**
   * Time that a failed update waits for its worker: first to connect, so that it can be notified, and then to release
   * the buffer. @default 5_000
   */
  readonly failGraceMs?: number | undefined;
  /**
   * For workers of checkpoint-engine before 0.4.0, which run the post-load hook as part of the release, and end. If the
   * engine's answer is known, they are recognized without this option.
   *
   * @default false
   */
  readonly endsOnRelease?: boolean | undefined;
}

/**
 * The state of a session: no worker was called (`bound`), the worker is expected (`awaited`), it has the buffer
 * (`greeted`), it is done (`finished`).
 */
type State = 'bound' | 'awaited' | 'greeted' | 'finished' | 'closed';

/**
 ** Time to wait for a worker whose engine has rejected the request. A worker that was called anyway connects at once.
 */
const REFUSED_GRACE_MS = 300;

/** Time for which a bind waits for the address to become free after the last socket on it was closed. */
const REBIND_MS = 2_000;

/** One update with one Python worker: the sender of the Python tool's protocol. */
export class V1Session implements WorkerSession {
  readonly address: string;
  readonly maxPending = 1;
  readonly #options: SessionOptions;
  readonly #failGraceMs: number;
  readonly #endsOnRelease: boolean;
  readonly #worker: Worker;
  #link = new WorkerLink();
  #state: State = 'bound';
  #isBusy = false;

  private constructor(options: SessionOptions, { failGraceMs = 5_000, endsOnRelease = false }: V1Options) {
    const { deviceUuid, counter, rank, rankInAddress } = options;
    this.address = `ipc://@checkpoint-engine-${deviceUuid}-${counter}${rankInAddress ? `-r${rank}` : ''}.sock`;
    this.#options = options;
    this.#failGraceMs = failGraceMs;
    this.#endsOnRelease = endsOnRelease;
    this.#worker = { deviceUuid, rank, address: this.address };
  }

  /** Binds the address of a new session. @throws `CE_ADDRESS_IN_USE`; `CE_NOT_SUPPORTED` The device is not CUDA. */
  static async bind(options: SessionOptions, v1Options: V1Options): Promise<V1Session> {
    // This comes before the request to the engine, which the handle of the buffer does not.
    if (options.deviceKind !== 'cuda') throw notCuda(`the device is "${options.deviceKind}"`, options.rank);
    const session = new V1Session(options, v1Options);
    try {
      await session.#link.bind(session.address);
    } catch (error) {
      session.#link.close();
      throw error;
    }
    return session;
  }

  async open(buffer: SharedMemory, { signal }: SessionCallOptions): Promise<void> {
    this.#expect('bound');
    if (buffer.handle.length !== CUDA_HANDLE_BYTES) {
      throw notCuda(
        `expected a handle of ${CUDA_HANDLE_BYTES} bytes, got one of ${buffer.handle.length}`,
        this.#options.rank,
      );
    }
    this.#state = 'awaited';
    const message = encodeBuffer(buffer.handle, buffer.sizeBytes);
    await this.#send('connect', message, signal);
    this.#state = 'greeted';
    await this.#reply('open the buffer', signal);
  }

  async reload(bucket: BucketMessage, { signal }: SessionCallOptions): Promise<void> {
    await this.#ask(`take bucket ${bucket.index}`, encodeBucket(bucket.tensors), signal);
  }

  async finish({ signal, onPhase, answer }: FinishOptions): Promise<void> {
    await this.#ask('release the buffer', encodeNone(), signal);
    onPhase?.('released');
    if (!this.#endsOnRelease) await this.#runHook(signal, answer);
    this.#state = 'finished';
    onPhase?.('loaded');
  }

  async reopen(): Promise<void> {
    this.#expect('finished');
    // A new socket, so that no message can reach the worker that has just ended.
    this.#link.close();
    this.#link = new WorkerLink();
    await bindFreed(this.#link, this.address);
    this.#state = 'bound';
  }

  async untilCalled({ signal }: SessionCallOptions): Promise<void> {
    const backoff = new Backoff({ spinMs: 0, maxPauseMs: 10 });
    while (!this.#link.isConnected) {
      if (signal.aborted) throw abortError(signal, 'untilCalled');
      await backoff.pause();
    }
  }

  async fail(error: Error): Promise<void> {
    if (this.#state === 'finished' || this.#state === 'closed') return;
    // If no engine has received a request yet, there is no worker to wait for.
    if (this.#state === 'bound' && !this.#link.isConnected) return;
    const { logger, rank } = this.#options;
    const graceMs = refusedBeforeConnecting(error, this.#link) ? REFUSED_GRACE_MS : this.#failGraceMs;
    const endsAt = performance.now() + Math.min(graceMs, this.#options.timeoutMs);
    const left = () => ({ timeoutMs: Math.max(0, endsAt - performance.now()) });
    const message = encodeError(`checkpoint-engine: the update failed: ${error.message}`);
    try {
      if (this.#state !== 'greeted') {
        // In place of the buffer, a worker treats an error as a bad buffer: it replies, and aborts at the next message.
        await this.#link.send(message, left());
        this.#state = 'greeted';
        await this.#link.receive(left());
      }
      if (!this.#link.isConnected) return;
      await this.#link.send(message, left());
      await this.#link.untilDisconnected(left().timeoutMs);
    } catch (cause) {
      const worker = this.#worker;
      logger.warn(
        { rank, worker, cause },
        'The worker could not be notified of the failed update, or did not end in time',
      );
    }
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#link.close();
  }

  /** Workers before 0.4.0 have run their hook by now, and end. Later ones end here only if the hook raised. */
  async #runHook(signal: AbortSignal, answer: Promise<void> | undefined): Promise<void> {
    try {
      await this.#ask('run its post-load hook', encodeNone(), signal);
    } catch (error) {
      const hasEnded = CheckpointEngineError.isInstance(error) && error.code === 'CE_WORKER_LOST';
      if (!hasEnded || answer === undefined) throw error;
      const isLoaded = await untilAborted(answer, signal).then(
        () => true,
        () => false,
      );
      if (!isLoaded) throw error;
      const { logger, rank } = this.#options;
      logger.debug(
        { rank, worker: this.#worker },
        'The worker ended after the release, like workers of checkpoint-engine before 0.4.0',
      );
    }
  }

  async #ask(task: Task, message: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#expect('greeted');
    if (this.#isBusy) throw new TypeError(`The worker at ${this.address} takes one message at a time`);
    this.#isBusy = true;
    try {
      if (!this.#link.isConnected) throw workerLost(this.#worker, task);
      await this.#send(task, message, signal);
      await this.#reply(task, signal);
    } finally {
      this.#isBusy = false;
    }
  }

  #send(task: Task, message: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#within(task, signal, this.#link.send(message, { timeoutMs: this.#options.timeoutMs, signal }));
  }

  async #reply(task: Task, signal: AbortSignal): Promise<void> {
    const waiting = this.#link.receive({ timeoutMs: this.#options.timeoutMs, signal });
    const reply = await this.#within(task, signal, waiting);
    if (reply === undefined) throw workerLost(this.#worker, task);
    if (reply.length > 0) throw workerRefused(this.#worker, task, reply);
  }

  /** Adds the worker's task to the error of a time-out. */
  async #within<T>(task: Task, signal: AbortSignal, wait: Promise<T>): Promise<T> {
    try {
      return await wait;
    } catch (error) {
      const isTimeout = CheckpointEngineError.isInstance(error) && error.code === 'CE_TIMEOUT' && !signal.aborted;
      throw isTimeout ? workerTimedOut(this.#worker, task, this.#options.timeoutMs) : error;
    }
  }

  #expect(state: State): void {
    if (this.#state === state) return;
    if (this.#state === 'closed') {
      throw new CheckpointEngineError('CE_CLOSED', `The session at ${this.address} is closed`, 'Open a new one');
    }
    throw new TypeError(`The session at ${this.address} must be ${state}, not ${this.#state}`);
  }
}

/** Binds an address whose last socket was closed a moment ago: ZeroMQ releases it a little later. */
async function bindFreed(link: WorkerLink, address: string): Promise<void> {
  const backoff = new Backoff({ spinMs: 0, maxPauseMs: 20 });
  const endsAt = performance.now() + REBIND_MS;
  for (;;) {
    try {
      return await link.bind(address);
    } catch (error) {
      if (performance.now() > endsAt) throw error;
      await backoff.pause();
    }
  }
}

/** Whether the engine rejected the update, or could not be reached, before its worker came. */
function refusedBeforeConnecting(error: Error, link: WorkerLink): boolean {
  return !link.isConnected && CheckpointEngineError.isInstance(error) && error.code.startsWith('CE_ENGINE_');
}

function notCuda(why: string, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `Workers of protocol v1 use CUDA memory: ${why}`,
    'Use a CUDA device, or a worker of protocol v2, such as the package checkpoint-engine-worker or @checkpoint-engine/worker',
    { rank, op: 'open' },
  );
}
