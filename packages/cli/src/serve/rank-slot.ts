import { setTimeout as sleep } from 'node:timers/promises';
import type { RankState, RankView } from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger, type SerializedError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { WorldSettings } from '../config/requests.ts';
import { joinCalls } from '../process/join-calls.ts';
import type { CallName, CallRequest, CallResult, RankDevice, RankEvent } from '../process/messages.ts';
import type { OpenRankPort } from '../process/rank-port.ts';
import { type SentCall, SupervisedRank } from '../process/supervised-rank.ts';
import { withTimeLimit } from '../process/time-limit.ts';

/** The options of a {@link RankSlot}. */
export interface RankSlotOptions {
  readonly rank: number;
  /** Index of the host that runs the rank. */
  readonly node: number;
  readonly settings: WorldSettings;
  readonly open: OpenRankPort;
  readonly logger: Logger;
  readonly onLogLine: (line: string, rank: number) => void;
  /** Restores a restarted rank before it counts as ready. Never rejects, and ends in bounded time. */
  readonly recover: (slot: RankSlot) => Promise<void>;
  /** Called when the state has changed; `error` says why the rank is lost. */
  readonly onChange: (slot: RankSlot, error?: CheckpointEngineError) => void;
}

/** Pauses before a restart. The pause doubles while the rank dies soon after its start. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** A rank that has lived this long starts over with the first pause. */
const HEALTHY_MS = 30_000;
/** Time for a rank to release its resources. */
const CLOSE_MS = 10_000;
/** Time that joining the world may exceed its own time-out. */
const OPEN_GRACE_MS = 10_000;

/** The place of one rank in a world: its process, and the next process if that one dies. */
export class RankSlot implements RankView {
  readonly rank: number;
  readonly node: number;
  state: RankState = 'starting';
  device: RankDevice | undefined;
  restarts = 0;
  lastError: SerializedError | undefined;
  readonly #options: RankSlotOptions;
  readonly #closing = new AbortController();
  #process: SupervisedRank | undefined;
  #life: Promise<void> | undefined;

  constructor(options: RankSlotOptions) {
    this.rank = options.rank;
    this.node = options.node;
    this.#options = options;
  }

  /** Starts the rank and, from then on, restarts it whenever it dies. @throws The failure of the start. */
  async start(): Promise<void> {
    const process = this.#spawn();
    const failure = await this.#open(process);
    if (failure) {
      process.kill();
      await process.ended;
      throw failure;
    }
    this.#setState('ready');
    this.#life = this.#live(process);
  }

  /** Calls the current process of the rank. */
  call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    onEvent?: (event: RankEvent) => void,
  ): SentCall<CallResult<Name>> {
    if (this.#process) return this.#process.call(name, request, onEvent);
    const failure = { rank: this.rank, error: notStarted(this.rank), atMs: Date.now(), died: false };
    return { outcome: Promise.resolve({ failure }), abort: () => {} };
  }

  /** Whether the rank has a running process. */
  get isRunning(): boolean {
    return this.#process?.isRunning === true;
  }

  /** Kills a process that does not answer. A new one replaces it. */
  kill(): void {
    this.#process?.kill();
  }

  /** Shuts the rank down. Resolves when its process has ended: within 10 s, or 20 s if it has to be killed. */
  async close(): Promise<void> {
    this.#closing.abort();
    const process = this.#process;
    process?.close();
    if (process && !(await settlesWithin(process.ended, CLOSE_MS))) process.kill();
    await process?.ended;
    await this.#life;
  }

  #spawn(): SupervisedRank {
    const { rank, open, onLogLine } = this.#options;
    const process: SupervisedRank = new SupervisedRank({
      rank,
      open,
      onLogLine,
      onAnswering: (isAnswering) => {
        if (process === this.#process) this.#noteAnswering(isAnswering);
      },
    });
    this.#process = process;
    return process;
  }

  async #open(process: SupervisedRank): Promise<CheckpointEngineError | undefined> {
    const { settings } = this.#options;
    const limit = {
      what: `Starting rank ${this.rank}`,
      timeoutMs: settings.timeoutMs + OPEN_GRACE_MS,
      hint: 'Check in its log what it waits for',
    };
    const { values, failed } = await withTimeLimit(limit, undefined, (signal) =>
      joinCalls([process.open(settings)], { signal, settleMs: 0 }),
    );
    if (values) this.device = values[0];
    return failed?.failure;
  }

  /** Only a ready rank can become unresponsive: one that starts counts as absent anyway. */
  #noteAnswering(isAnswering: boolean): void {
    const { logger } = this.#options;
    if (this.state === 'ready' && !isAnswering) {
      logger.warn({ rank: this.rank }, 'A rank does not answer; it will be killed and restarted if this continues');
      this.#setState('unresponsive');
    } else if (this.state === 'unresponsive' && isAnswering) {
      logger.info({ rank: this.rank }, 'The rank answers again');
      this.#setState('ready');
    }
  }

  async #live(first: SupervisedRank): Promise<void> {
    const { logger } = this.#options;
    let process = first;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      const startedAtMs = performance.now();
      const failure = await process.ended;
      if (this.#closing.signal.aborted) return;
      const error = failure?.error ?? notAnswering(this.rank);
      this.lastError = error.toJSON();
      this.#setState('lost', error);
      pauseMs = performance.now() - startedAtMs > HEALTHY_MS ? FIRST_PAUSE_MS : pauseMs;
      logger.error({ rank: this.rank, err: error, pauseMs }, 'A rank died and is being restarted');
      await sleep(pauseMs, undefined, { signal: this.#closing.signal }).catch(() => {});
      if (this.#closing.signal.aborted) return;
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      this.restarts += 1;
      this.#setState('starting');
      process = this.#spawn();
      await this.#comeBack(process);
    }
  }

  async #comeBack(process: SupervisedRank): Promise<void> {
    const failure = await this.#open(process);
    if (failure) {
      process.kill();
      return;
    }
    await this.#options.recover(this);
    // If it has died again meanwhile, the next iteration handles it.
    if (process.isRunning) {
      this.#setState('ready');
      this.#options.logger.info({ rank: this.rank }, 'A rank has recovered');
    }
  }

  #setState(state: RankState, error?: CheckpointEngineError): void {
    this.state = state;
    this.#options.onChange(this, error);
  }
}

function notStarted(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANK_LOST',
    `Rank ${rank} has not been started`,
    'Wait until GET /v1/readyz answers 200',
    {
      rank,
      peer: rank,
    },
  );
}

function notAnswering(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANK_LOST',
    `Rank ${rank} did not answer and was killed`,
    'Check its log for its last activity',
    { rank, peer: rank },
  );
}
