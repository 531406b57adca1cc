import { setImmediate } from 'node:timers';
import { CheckpointEngineError, type PullIntent, type ServerWelcome } from '@checkpoint-engine/interface';
import { followToEnd, pullAll, throwIfFailed, type UpdateParts, unexpected } from './end-of-update.ts';
import type { HeldVersion } from './held-version.ts';
import { IncomingBucket } from './incoming-bucket.ts';
import type { IncomingTensor } from './incoming-tensor.ts';
import type { MappedBuffer } from './mapped-buffer.ts';
import type { PullSession } from './pull/pull-session.ts';
import type { ServerLink } from './server-link.ts';
import { asWorkerError } from './worker-error.ts';

/**
 * One update of one device: first its tensors, read once by iteration or with {@link IncomingUpdate.forEachBucket},
 * then {@link IncomingUpdate.finished}.
 *
 * After a failure (of the parameter server, a time-out, the caller's signal, or an error of the worker), all waits
 * reject at once, {@link IncomingUpdate.signal} fires, and the buffer is unmapped as soon as the caller holds no
 * bucket.
 */
export class IncomingUpdate implements AsyncIterable<IncomingTensor>, AsyncDisposable {
  readonly checkpoint: string;
  readonly updateId: string;
  readonly deviceUuid: string;
  /**
   * `prepare`: prepares later updates. `verify`: reports digests of what the engine holds. Neither delivers tensors or
   * runs the post-load hook.
   */
  readonly intent: PullIntent;
  /** Fires when the update has failed; the reason is the error. */
  readonly signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #link: ServerLink;
  readonly #buffer: MappedBuffer | undefined;
  readonly #pulling: PullSession | undefined;
  readonly #held: HeldVersion | undefined;
  readonly #inHand = new Set<IncomingBucket>();
  #phase: 'fresh' | 'reading' | 'released' | 'over' = 'fresh';
  #finish: Promise<void> | undefined;
  /** The connection outlives the update. */
  #staysOpen = false;

  /** @internal */
  constructor(
    link: ServerLink,
    buffer: MappedBuffer | undefined,
    welcome: Pick<ServerWelcome, 'checkpoint' | 'updateId' | 'deviceUuid'>,
    { pulling, held }: { readonly pulling: PullSession | undefined; readonly held: HeldVersion | undefined },
  ) {
    this.checkpoint = welcome.checkpoint;
    this.updateId = welcome.updateId;
    this.deviceUuid = welcome.deviceUuid;
    this.signal = this.#failed.signal;
    this.#link = link;
    this.#buffer = buffer;
    this.#pulling = pulling;
    this.#held = held;
    this.intent = pulling?.intent ?? 'update';
    link.onFailure = (error) => {
      this.#phase = 'over';
      this.#failed.abort(error);
      this.#disconnectIfUnused();
    };
  }

  /**
   * The tensors, one after another. Leaving the loop before its end, by `break` or by an error, fails the update. The
   * language does not show an iterator the error: to report it to the parameter server, pass it to
   * {@link IncomingUpdate.fail} before any other await. `serveWorker` does so.
   *
   * @throws {TypeError} The tensors were already read, or are being read.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<IncomingTensor, void, undefined> {
    this.#begin();
    let bucket = await this.#nextBucket();
    try {
      while (bucket) {
        for (const tensor of bucket.tensors) {
          yield tensor;
          throwIfFailed(this.#link);
        }
        this.#release(bucket);
        this.#acknowledge(bucket);
        bucket = await this.#nextBucket();
      }
    } finally {
      if (bucket && this.#inHand.has(bucket)) {
        this.#release(bucket);
        setImmediate(() => this.fail(leftEarly(bucket!.index)));
      }
    }
  }

  /**
   * Passes complete buckets to the callback, several at a time if the credits allow it. A bucket is released when the
   * callback settles. Resolves after all buckets. The first error fails the update, and is thrown when every running
   * callback has settled (watch {@link IncomingUpdate.signal} in long ones).
   *
   * @throws {TypeError} The same as for the iteration.
   */
  async forEachBucket(
    consume: (tensors: readonly IncomingTensor[], index: number) => Promise<void> | void,
  ): Promise<void> {
    this.#begin();
    const running = new Set<Promise<void>>();
    const errors: unknown[] = [];
    const run = async (bucket: IncomingBucket): Promise<void> => {
      try {
        await consume(bucket.tensors, bucket.index);
        this.#release(bucket);
        this.#acknowledge(bucket);
      } catch (error) {
        errors.push(error);
        this.#release(bucket);
        this.fail(error);
      }
    };
    try {
      for (let bucket = await this.#nextBucket(); bucket; bucket = await this.#nextBucket()) {
        const one = run(bucket).finally(() => running.delete(one));
        running.add(one);
      }
    } catch (error) {
      errors.push(error);
    }
    await Promise.all(running);
    if (errors.length > 0) throw errors[0];
  }

  /**
   * Ends the update: waits until every worker has released its buffer, runs the post-load hook, notifies the parameter
   * server, and disconnects. Call it after the tensors are read. A second call waits for the first.
   *
   * @param postLoadHook Puts the new weights into service. Its error fails the update and is thrown.
   * @throws {TypeError} The tensors are not read yet.
   */
  async finished(postLoadHook?: () => Promise<void> | void): Promise<void> {
    if (!this.#finish) {
      throwIfFailed(this.#link);
      if (this.#phase !== 'released') throw new TypeError('Read the tensors of the update before you finish it');
      this.#finish = this.#runFinish(postLoadHook);
    }
    await this.#finish;
  }

  /** Ends the update with an error for the parameter server. The first error stays. */
  fail(error: unknown): void {
    this.#link.fail(asWorkerError(error));
  }

  /**
   * Ends the update now, if it is not finished, and disconnects. Buckets that the caller still holds become invalid:
   * only copies already on a stream of the device may continue. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#phase !== 'over') this.fail(closedEarly());
    for (const bucket of [...this.#inHand]) this.#release(bucket);
    if (!this.#staysOpen) await this.#link.closed;
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #begin(): void {
    throwIfFailed(this.#link);
    if (this.#phase !== 'fresh') throw new TypeError('The tensors of an update can be read once');
    this.#phase = 'reading';
  }

  /** The next bucket, or `undefined` when the server has no more and the buffer is unmapped. */
  async #nextBucket(): Promise<IncomingBucket | undefined> {
    if (this.#buffer === undefined) {
      this.#phase = 'released';
      return undefined;
    }
    const message = await this.#link.receive();
    try {
      if (message.type === 'bucket') {
        const bucket = new IncomingBucket(this.#buffer!.memory, message);
        this.#held?.forget();
        this.#inHand.add(bucket);
        return bucket;
      }
      if (message.type !== 'release' || this.#inHand.size > 0) throw unexpected(message);
    } catch (error) {
      this.fail(error);
      throw error;
    }
    this.#buffer!.close(true);
    this.#phase = 'released';
    this.#link.send({ type: 'released' });
    return undefined;
  }

  async #runFinish(postLoadHook: (() => Promise<void> | void) | undefined): Promise<void> {
    const parts: UpdateParts = { link: this.#link, pulling: this.#pulling, held: this.#held };
    try {
      let confirms = false;
      if (this.intent === 'update') {
        confirms = await pullAll(parts);
        this.#held?.forget();
        await postLoadHook?.();
        throwIfFailed(this.#link);
        this.#link.send({ type: 'finished' });
      }
      if (this.#pulling !== undefined || confirms) {
        await followToEnd(parts, confirms, (staysOpen) => {
          this.#phase = 'over';
          this.#staysOpen = staysOpen;
        });
        return;
      }
    } catch (error) {
      this.fail(error);
      throw error;
    }
    this.#phase = 'over';
    await this.#link.end();
  }

  #release(bucket: IncomingBucket): void {
    bucket.close();
    this.#inHand.delete(bucket);
    if (this.#phase === 'over') this.#disconnectIfUnused();
  }

  #acknowledge(bucket: IncomingBucket): void {
    this.#link.send({ type: 'ack', index: bucket.index });
  }

  /** Unmaps the buffer and disconnects, once the caller holds no bucket. */
  #disconnectIfUnused(): void {
    if (this.#inHand.size > 0) return;
    this.#buffer?.close(false);
    void this.#hangUp();
  }

  async #hangUp(): Promise<void> {
    await this.#pulling?.abort();
    await this.#link.end();
  }
}

function leftEarly(index: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_FAILED',
    `The worker left the loop over the tensors in bucket ${index} before the end`,
    "Check the engine's log for the error that ended the loop",
  );
}

function closedEarly(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CLOSED',
    'The worker closed the update before it was finished',
    'Read all tensors and await finished() before you close an update',
  );
}
