import {
  abortError,
  CheckpointEngineError,
  isWeightVersion,
  type SharedMemory,
  type TensorColumns,
  toCheckpointEngineError,
  UNKNOWN_VERSION,
  WORKER_PROTOCOL_VERSION,
} from '@checkpoint-engine/interface';
import type {
  BucketMessage,
  BucketTensor,
  FinishOptions,
  OpenOptions,
  SessionCallOptions,
  SessionOptions,
  WorkerSession,
} from '../session.ts';
import { newSessionAddress } from './address.ts';
import { numberText, toWire, workerBroke, workerTimeout } from './errors.ts';
import { encodeFrame, type ReceivedMessage } from './frames.ts';
import { type Caller, SessionListener } from './listener.ts';
import { PullChannelV2 } from './pull-channel.ts';
import { Replies } from './replies.ts';
import { WorkerConnection } from './worker-connection.ts';

/** Time limit for a worker to release the buffer after it was notified of a failure. */
const ABORT_GRACE_MS = 5_000;

/** One update with one worker, over protocol 2. */
export class WorkerSessionV2 implements WorkerSession {
  readonly address: string;
  readonly #options: SessionOptions;
  #replies = new Replies<ReceivedMessage>();
  #listener: SessionListener | undefined;
  #connection: WorkerConnection | undefined;
  #failure: CheckpointEngineError | undefined;
  /** Number of buckets that the worker accepts at a time, from its ready message. */
  #credits: number | undefined;
  #slots: number;
  #inFlight = 0;
  /** Names of reloads that wait for a credit, first come, first served. */
  readonly #queue: string[] = [];
  /** The worker needs nothing any more. */
  #isFinished = false;
  /** The worker has the buffer and must release it. */
  #isOpened = false;
  #isHeld = false;
  readonly pull: PullChannelV2;
  /** A worker that connects again before the session is reopened. */
  #early: Caller | undefined;
  /** Called when a worker has presented the key. */
  #onCalled: (() => void) | undefined;

  private constructor(options: SessionOptions, address: string) {
    this.#options = options;
    this.#slots = options.slots;
    this.address = address;
    this.pull = new PullChannelV2({
      session: options,
      hello: async (call) => this.#connection?.hello ?? (await this.#reply('hello', 'connect', call)),
      send: (message) => this.#connection?.send(message),
      reply: (name, whatFor, call) => this.#reply(name, whatFor, call),
      hold: () => {
        this.#isHeld = true;
        return this.#connection!.hold();
      },
    });
  }

  /** Opens the address of a new session. */
  static async listen(options: SessionOptions): Promise<WorkerSessionV2> {
    const address = newSessionAddress(options.deviceUuid, options.updateId);
    const session = new WorkerSessionV2(options, address.text);
    session.#listener = await SessionListener.listen(address, options.logger, (caller) => session.#meet(caller));
    return session;
  }

  get maxPending(): number {
    return Math.min(this.#credits ?? this.#slots, this.#slots);
  }

  get held(): string | undefined {
    const holds = this.#connection?.hello.holds;
    if (typeof holds !== 'string') return undefined;
    // An invalid version counts as unknown.
    return isWeightVersion(holds) ? holds : UNKNOWN_VERSION;
  }

  async open(buffer: SharedMemory, options: OpenOptions): Promise<void> {
    if (!this.#connection) await this.#reply('hello', 'connect', options);
    const { deviceKind, deviceUuid, checkpoint, updateId, rank, bufferStays } = this.#options;
    const slots = options.slots ?? this.#options.slots;
    this.#slots = slots;
    this.#isOpened = true;
    this.#connection?.send({
      type: 'welcome',
      protocol: WORKER_PROTOCOL_VERSION,
      checkpoint,
      updateId,
      rank,
      deviceKind,
      deviceUuid,
      handle: buffer.handle,
      sizeBytes: buffer.sizeBytes,
      slots,
      bufferStays,
    });
    const { credits } = await this.#reply('ready', 'map the buffer', options);
    if (typeof credits !== 'number' || !Number.isSafeInteger(credits) || credits < 1) {
      throw workerBroke(this.#options, `a ready with ${numberText(credits)} credits`, WORKER_PROTOCOL_VERSION);
    }
    this.#credits = credits;
  }

  async reload(bucket: BucketMessage, options: SessionCallOptions): Promise<void> {
    try {
      await this.#takeCredit(bucket.index, options);
      this.#connection?.send({ type: 'bucket', index: bucket.index, tensors: columns(bucket.tensors) });
      this.#giveCredit(await this.#reply(`ack ${bucket.index}`, `take bucket ${bucket.index}`, options));
    } catch (error) {
      // The worker still has a bucket whose wait was aborted, so its credit is never returned.
      this.#fail(toCheckpointEngineError(error));
      throw error;
    }
  }

  async release(options: SessionCallOptions): Promise<void> {
    if (!this.#isOpened) return;
    this.#isOpened = false;
    this.#connection?.send({ type: 'release' });
    await this.#reply('released', 'release the buffer', options);
  }

  async finish(options: FinishOptions): Promise<void> {
    await this.release(options);
    options.onPhase?.('released');
    const confirms = this.held === undefined ? undefined : true;
    this.#connection?.send({ type: 'finish', confirms });
    await this.#reply('finished', 'run its post-load hook', options);
    options.onPhase?.('loaded');
  }

  async confirm(version: string, options: SessionCallOptions): Promise<void> {
    if (this.held === undefined) return;
    this.#connection?.send({ type: 'confirm', version });
    await this.#reply('confirmed', 'record the version', options);
  }

  async reopen(): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (!this.#isFinished) throw new TypeError('Finish the session before it is reopened');
    await this.#connection?.close();
    this.#connection = undefined;
    this.#replies = new Replies<ReceivedMessage>();
    this.#credits = undefined;
    this.#inFlight = 0;
    this.#isFinished = false;
    const early = this.#early;
    this.#early = undefined;
    if (early) this.#meet(early);
  }

  async untilCalled({ signal }: SessionCallOptions): Promise<void> {
    const op = 'Waiting for the worker to connect again';
    if (signal.aborted) throw abortError(signal, op);
    if (this.#connection) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#onCalled = undefined;
        reject(abortError(signal, op));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#onCalled = () => {
        signal.removeEventListener('abort', onAbort);
        this.#onCalled = undefined;
        resolve();
      };
    });
  }

  async fail(error: Error): Promise<void> {
    this.#fail(toCheckpointEngineError(error));
    if (!this.#isFinished) await this.#connection?.abort(error, Math.min(ABORT_GRACE_MS, this.#options.timeoutMs));
  }

  async close(): Promise<void> {
    this.#fail(
      new CheckpointEngineError('CE_CLOSED', 'The worker session is closed', 'Start the update again', {
        rank: this.#options.rank,
      }),
    );
    if (this.#isHeld) this.#listener?.stop();
    else await Promise.all([this.#listener?.close(), this.#connection?.close()]);
  }

  /** A caller presented the key: it is the worker, unless it uses another protocol, comes second, or comes too late. */
  #meet(caller: Caller): void {
    const { protocol } = caller.hello;
    if (this.#isFinished && !this.#failure && !this.#early && protocol === WORKER_PROTOCOL_VERSION) {
      this.#early = caller;
      return;
    }
    const refusal =
      this.#failure ??
      (this.#connection && workerBroke(this.#options, 'a second hello', protocol)) ??
      (protocol === WORKER_PROTOCOL_VERSION
        ? undefined
        : workerBroke(this.#options, 'a hello of another protocol', protocol));
    if (refusal) {
      caller.socket.end(encodeFrame({ type: 'abort', error: toWire(refusal) }), () => caller.socket.destroy());
      if (!this.#connection) this.#fail(refusal);
      return;
    }
    this.#connection = new WorkerConnection(caller, this.#options, {
      onReply: (name, message) => this.#onReply(name, message),
      onFailure: (error) => {
        if (this.#isFinished) this.#replies.fail(error);
        else this.#fail(error);
      },
    });
    this.#replies.resolve('hello', caller.hello);
    this.#connection.start();
    this.#onCalled?.();
  }

  #onReply(name: string, message: ReceivedMessage): boolean {
    // The caller is notified after the last part.
    if (name === 'needs' && !this.pull.takeNeeds(message)) return true;
    const isAwaited = this.#replies.resolve(name, message);
    if (isAwaited && name === (this.held === undefined ? 'finished' : 'confirmed')) this.#isFinished = true;
    return isAwaited;
  }

  #reply(name: string, whatFor: string, options: SessionCallOptions): Promise<ReceivedMessage> {
    const { timeoutMs } = this.#options;
    return this.#replies.wait(name, {
      op: `Waiting for the worker to ${whatFor}`,
      signal: options.signal,
      timeoutMs,
      timedOut: () => workerTimeout(this.#options, whatFor, timeoutMs),
    });
  }

  /** Waits until the worker may be sent one more bucket. */
  async #takeCredit(index: number, options: SessionCallOptions): Promise<void> {
    if (this.#inFlight < this.maxPending) {
      this.#inFlight += 1;
      return;
    }
    const name = `credit ${index}`;
    this.#queue.push(name);
    await this.#reply(name, 'take the previous buckets', options);
  }

  /** Passes the credit to the reload that has waited longest. */
  #giveCredit(acknowledgement: ReceivedMessage): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#inFlight -= 1;
    else this.#replies.resolve(next, acknowledgement);
  }

  #fail(error: CheckpointEngineError): void {
    this.#failure ??= error;
    this.#replies.fail(this.#failure);
  }
}

function columns(tensors: readonly BucketTensor[]): TensorColumns {
  return {
    names: tensors.map(({ name }) => name),
    dtypes: tensors.map(({ dtype }) => dtype),
    shapes: tensors.map(({ shape }) => shape),
    offsets: tensors.map(({ offsetBytes }) => offsetBytes),
    sizes: tensors.map(({ sizeBytes }) => sizeBytes),
  };
}
