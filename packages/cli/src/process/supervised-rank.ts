import { CheckpointEngineError, RankLostError } from '@checkpoint-engine/interface';
import type { WorldSettings } from '../config/requests.ts';
import { deathError, type RankFailure } from './first-failure.ts';
import { FROZEN_BEATS, Heartbeat } from './heartbeat.ts';
import type { CallName, CallRequest, CallResult, FromRank, RankDevice, RankEvent } from './messages.ts';
import type { OpenRankPort, RankExit, RankPort } from './rank-port.ts';

/** The options of a {@link SupervisedRank}. */
export interface SupervisedRankOptions {
  readonly rank: number;
  readonly open: OpenRankPort;
  /** Lines of the rank's standard error. */
  readonly onLogLine: (line: string, rank: number) => void;
  /** The rank has become unresponsive, or answers again. */
  readonly onAnswering?: ((isAnswering: boolean) => void) | undefined;
}

/** The result of a call at one rank. Never rejects, so that the failures of several ranks can be compared. */
export type CallOutcome<Value> =
  | { readonly value: Value; readonly failure?: undefined }
  | { readonly value?: undefined; readonly failure: RankFailure };

/** A call in progress. */
export interface SentCall<Value> {
  readonly outcome: Promise<CallOutcome<Value>>;
  /** Aborts the call at the rank, which then reports the failure. */
  abort(error: CheckpointEngineError): void;
}

interface PendingCall {
  readonly resolve: (outcome: CallOutcome<never>) => void;
  readonly onEvent: ((event: RankEvent) => void) | undefined;
}

/** Lines of standard error that are kept to explain the death of a rank. */
const LAST_LINES = 20;
/** Time for a process to end after it is killed. A process that hangs in the kernel does not end. */
const KILL_MS = 10_000;
/** The id of the call `open`. */
const OPEN_ID = 0;

/** The process of a rank as its supervisor sees it: its calls and its end. */
export class SupervisedRank {
  readonly rank: number;
  /**
   * Resolves when the process has ended and all its output is read: with the failure, or `undefined` after `close`.
   */
  readonly ended: Promise<RankFailure | undefined>;
  readonly #port: RankPort;
  readonly #lastLines: string[] = [];
  readonly #pending = new Map<number, PendingCall>();
  #nextId = OPEN_ID + 1;
  #failure: RankFailure | undefined;
  #mayEnd = false;
  #hasEnded = false;
  #heartbeat: Heartbeat | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  readonly #onAnswering: (isAnswering: boolean) => void;
  readonly #end: (failure: RankFailure | undefined) => void;

  constructor({ rank, open, onLogLine, onAnswering = () => {} }: SupervisedRankOptions) {
    this.rank = rank;
    this.#onAnswering = onAnswering;
    let end!: (failure: RankFailure | undefined) => void;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    this.#port = open({
      onMessage: (message) => this.#onMessage(message),
      onLogLine: (line) => {
        this.#lastLines.push(line);
        if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift();
        onLogLine(line, rank);
      },
      onExit: (exit) => this.#onExit(exit),
    });
  }

  /** Whether the rank accepts calls: it has not failed, and is not closing. */
  get isRunning(): boolean {
    return !this.#hasEnded && !this.#mayEnd && this.#failure === undefined;
  }

  /** Lets the rank join its world. */
  open(world: WorldSettings): SentCall<RankDevice> {
    const outcome = this.#expect<RankDevice>(OPEN_ID, undefined);
    this.#port.send({ type: 'open', world });
    return { outcome, abort: (error) => this.abortAll(error) };
  }

  call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    onEvent?: (event: RankEvent) => void,
  ): SentCall<CallResult<Name>> {
    const id = this.#nextId++;
    const outcome = this.#expect<CallResult<Name>>(id, onEvent);
    this.#port.send({ type: 'call', id, name, request });
    return { outcome, abort: (error) => this.#port.send({ type: 'abort', id, error: error.toJSON() }) };
  }

  /** Aborts all calls of the rank. */
  abortAll(error: CheckpointEngineError): void {
    this.#port.send({ type: 'abort', error: error.toJSON() });
  }

  /** Lets the rank release what it holds and end. From now on, its end is not a failure. */
  close(): void {
    this.#mayEnd = true;
    this.#port.close();
  }

  /** Kills the process. From now on, its end is not a failure. */
  kill(): void {
    this.#mayEnd = true;
    this.#kill();
  }

  #kill(): void {
    this.#heartbeat?.stop();
    if (this.#hasEnded) return;
    this.#port.kill();
    const lost = 'its process was killed and does not end: it hangs in the kernel';
    this.#killTimer ??= setTimeout(() => this.#onExit({ code: null, signal: null, lost }), KILL_MS);
  }

  #expect<Value>(id: number, onEvent: PendingCall['onEvent']): Promise<CallOutcome<Value>> {
    return new Promise((resolve) => {
      if (this.#hasEnded || this.#failure) resolve({ failure: this.#failure ?? this.#closedFailure() });
      else this.#pending.set(id, { resolve, onEvent });
    });
  }

  #onMessage(message: FromRank): void {
    this.#heartbeat?.noteMessage();
    switch (message.type) {
      case 'pong':
        return;
      case 'events': {
        const onEvent = this.#pending.get(message.id)?.onEvent;
        if (onEvent) for (const event of message.events) onEvent(event);
        return;
      }
      case 'opened':
        this.#heartbeat ??= new Heartbeat({
          ask: () => this.#port.send({ type: 'ping' }),
          onChange: this.#onAnswering,
          onFrozen: () => this.#onFrozen(),
        });
        this.#settle(OPEN_ID, { value: message.device as never });
        return;
      case 'result':
        this.#settle(message.id, { value: message.value as never });
        return;
      case 'error':
        this.#settle(message.id, { failure: this.#reported(message) });
        return;
      case 'failed':
        this.#failure ??= this.#reported(message);
        this.#failAll(this.#failure);
    }
  }

  /** Kills a process that is frozen, so that nothing waits for it. */
  #onFrozen(): void {
    this.#failure ??= { rank: this.rank, error: frozenError(this.rank), atMs: Date.now(), died: true };
    this.#failAll(this.#failure);
    this.#kill();
  }

  #settle(id: number, outcome: CallOutcome<never>): void {
    this.#pending.get(id)?.resolve(outcome);
    this.#pending.delete(id);
  }

  #failAll(failure: RankFailure): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id, { failure });
  }

  #onExit(exit: RankExit): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#heartbeat?.stop();
    clearTimeout(this.#killTimer);
    if (!this.#mayEnd && !this.#failure) this.#failure = this.#died(exit);
    this.#failAll(this.#failure ?? this.#closedFailure());
    this.#end(this.#failure);
  }

  #reported({ error, atMs }: Extract<FromRank, { type: 'error' | 'failed' }>): RankFailure {
    return { rank: this.rank, error: CheckpointEngineError.fromJSON(error), atMs, died: false };
  }

  #died({ code, signal, startError, lost }: RankExit): RankFailure {
    if (lost !== undefined) {
      const error = new RankLostError(this.rank, `Rank ${this.rank} is lost: ${lost}`, { rank: this.rank });
      return { rank: this.rank, error, atMs: Date.now(), died: true };
    }
    const error =
      startError === undefined
        ? deathError(this.rank, { code, signal, lastLines: this.#lastLines })
        : new CheckpointEngineError(
            'CE_INTERNAL',
            `Rank ${this.rank} could not be started: ${startError}`,
            'Check the limits on processes (ulimit -u) and on memory',
            { rank: this.rank },
          );
    return { rank: this.rank, error, atMs: Date.now(), died: startError === undefined };
  }

  #closedFailure(): RankFailure {
    const error = new CheckpointEngineError('CE_CLOSED', `Rank ${this.rank} was stopped`, 'Start it again', {
      rank: this.rank,
    });
    return { rank: this.rank, error, atMs: Date.now(), died: false };
  }
}

function frozenError(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANK_LOST',
    `Rank ${rank} did not answer for ${FROZEN_BEATS} s and was killed: its process was frozen`,
    'Check what stopped it, such as SIGSTOP, a debugger, a frozen cgroup or a disk that hangs',
    { rank, peer: rank },
  );
}
