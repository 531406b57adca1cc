import { randomBytes } from 'node:crypto';
import { type CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { type Environment, readMasterAddr, readMasterPort } from '../config/environment.ts';
import type { UpdateJob, WorldJob } from '../config/jobs.ts';
import type { RankReport } from '../rank/rank-report.ts';
import { firstFailure, type RankFailure } from './first-failure.ts';
import { freePort } from './free-port.ts';
import type { Interrupts } from './interrupts.ts';
import type { RankDevice } from './messages.ts';
import { RankProcess } from './rank-process.ts';
import type { World } from './world.ts';

/** What {@link SupervisedWorld.start} takes. */
export interface SupervisedWorldOptions {
  readonly worldSize: number;
  readonly job: WorldJob;
  readonly env: Environment;
  readonly interrupts: Pick<Interrupts, 'asked' | 'insisted'>;
  readonly onEvent: (event: ProgressEvent) => void;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** How long ranks have to learn of a failure from each other, before they are told. */
const FOLLOW_MS = 1_000;
/** How long ranks have to give back what they hold. */
const CLOSE_MS = 10_000;

/** The ranks of a world as processes of their own, started and watched over by this one. */
export class SupervisedWorld implements World {
  devices: readonly RankDevice[] = [];
  readonly #ranks: readonly RankProcess[];
  readonly #failures: RankFailure[] = [];
  readonly #failed: Promise<void>;
  readonly #stopListening: () => void;
  #interruption: CheckpointEngineError | undefined;

  private constructor(options: SupervisedWorldOptions, address: Environment) {
    const { worldSize, env, onEvent, onLogLine } = options;
    let noteFailure!: () => void;
    this.#failed = new Promise((resolve) => {
      noteFailure = resolve;
    });
    const onFailure = (failure: RankFailure): void => {
      this.#failures.push(failure);
      noteFailure();
    };
    this.#ranks = Array.from({ length: worldSize }, (_, rank) => {
      const identity = { RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${worldSize}` };
      return new RankProcess({ rank, env: { ...env, ...address, ...identity }, onLogLine, onEvent, onFailure });
    });
    this.#stopListening = this.#follow(options.interrupts, noteFailure);
  }

  /**
   * Starts the ranks; resolves when all of them have joined the world.
   *
   * @throws The first failure of any rank; no process is left then.
   */
  static async start(options: SupervisedWorldOptions): Promise<SupervisedWorld> {
    const { env, job } = options;
    const masterAddr = readMasterAddr(env);
    const world = new SupervisedWorld(options, {
      MASTER_ADDR: masterAddr,
      MASTER_PORT: `${readMasterPort(env) ?? (await freePort(masterAddr))}`,
      // Other users of this host cannot join the world by guessing its port.
      CHECKPOINT_ENGINE_TOKEN: env.CHECKPOINT_ENGINE_TOKEN || randomBytes(24).toString('base64url'),
    });
    const opened = await world.#all((rank) => rank.request({ type: 'open', world: job }, 'opened'));
    world.devices = opened.map(({ device }) => device);
    return world;
  }

  /** @throws The first failure of any rank; no process is left then. */
  async update(update: UpdateJob): Promise<readonly RankReport[]> {
    const replies = await this.#all((rank) => rank.request({ type: 'update', update }, 'updated'));
    return replies.map(({ report }) => report);
  }

  async close(): Promise<void> {
    for (const rank of this.#ranks) rank.close();
    if (!(await this.#endWithin(CLOSE_MS))) this.#kill();
    await this.#ended();
    this.#stopListening();
  }

  /** What all ranks reply; rejects with the first failure of any, once all processes have ended. */
  async #all<T>(ask: (rank: RankProcess) => Promise<T>): Promise<T[]> {
    const replies = Promise.all(this.#ranks.map(ask));
    const result = await Promise.race([replies, this.#failed]);
    if (result) return result;
    // That a process died is known here before its peers miss it.
    const followMs = this.#failures.some(({ died }) => died) ? 0 : FOLLOW_MS;
    if (!(await this.#endWithin(followMs))) this.#abort(this.#error());
    await this.close();
    throw this.#error();
  }

  #error(): CheckpointEngineError {
    return this.#interruption ?? firstFailure(this.#failures)!.error;
  }

  #follow({ asked, insisted }: SupervisedWorldOptions['interrupts'], noteFailure: () => void): () => void {
    const onAsked = (): void => {
      this.#interruption = toCheckpointEngineError(asked.reason);
      this.#abort(this.#interruption);
      noteFailure();
    };
    const onInsisted = (): void => this.#kill();
    asked.addEventListener('abort', onAsked, { once: true });
    insisted.addEventListener('abort', onInsisted, { once: true });
    if (asked.aborted) onAsked();
    return () => {
      asked.removeEventListener('abort', onAsked);
      insisted.removeEventListener('abort', onInsisted);
    };
  }

  #abort(error: CheckpointEngineError): void {
    for (const rank of this.#ranks) rank.send({ type: 'abort', error: error.toJSON() });
  }

  #kill(): void {
    for (const rank of this.#ranks) rank.kill();
  }

  #ended(): Promise<unknown> {
    return Promise.all(this.#ranks.map((rank) => rank.ended));
  }

  async #endWithin(milliseconds: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), milliseconds);
    });
    const inTime = await Promise.race([this.#ended().then(() => true), late]);
    clearTimeout(timer);
    return inTime;
  }
}
