import { randomBytes } from 'node:crypto';
import { type CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { Environment } from '../config/environment.ts';
import { loopbackAddress } from '../config/loopback.ts';
import type { WorldSettings } from '../config/requests.ts';
import { freePort } from './free-port.ts';
import type { Interrupts } from './interrupts.ts';
import { joinCalls } from './join-calls.ts';
import type { CallName, CallRequest, CallResult, RankDevice } from './messages.ts';
import { spawnRank } from './spawn-rank.ts';
import { type SentCall, SupervisedRank } from './supervised-rank.ts';
import { withTimeLimit } from './time-limit.ts';
import type { CallOptions, World } from './world.ts';

/** The options of {@link SupervisedWorld.start}. */
export interface SupervisedWorldOptions {
  readonly worldSize: number;
  readonly settings: WorldSettings;
  readonly env: Environment;
  readonly interrupts: Pick<Interrupts, 'asked' | 'insisted'>;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** Time for ranks to release their resources. */
const CLOSE_MS = 10_000;
/** Time after a call's own time-out until the supervisor aborts the call on the ranks. */
const GRACE_MS = 10_000;

/**
 * The ranks of a world as child processes of this one, which supervises them. The first failure ends all of them.
 */
export class SupervisedWorld implements World {
  devices: readonly RankDevice[] = [];
  readonly ranks: readonly number[];
  readonly #ranks: readonly SupervisedRank[];
  readonly #timeoutMs: number;
  readonly #asked: AbortSignal;
  readonly #stopListening: () => void;

  private constructor(
    { worldSize, settings, env, onLogLine, interrupts }: SupervisedWorldOptions,
    address: Environment,
  ) {
    this.#timeoutMs = settings.timeoutMs;
    this.#ranks = Array.from({ length: worldSize }, (_, rank) => {
      const identity = { RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${worldSize}` };
      const rankEnv = { ...env, ...address, ...identity };
      return new SupervisedRank({ rank, onLogLine, open: (events) => spawnRank(rankEnv, events) });
    });
    this.ranks = this.#ranks.map(({ rank }) => rank);
    const { asked, insisted } = interrupts;
    this.#asked = asked;
    const onInsisted = (): void => this.#kill();
    insisted.addEventListener('abort', onInsisted, { once: true });
    this.#stopListening = () => insisted.removeEventListener('abort', onInsisted);
  }

  /**
   * Starts the ranks. Resolves when all of them have joined the world.
   *
   * @throws The first failure of any rank. All processes have ended then.
   */
  static async start(options: SupervisedWorldOptions): Promise<SupervisedWorld> {
    const { env, settings } = options;
    const host = loopbackAddress();
    const world = new SupervisedWorld(options, {
      // All ranks run here, so variables that a launcher or a Kubernetes service set do not apply to them.
      MASTER_ADDR: host,
      MASTER_PORT: `${await freePort(host)}`,
      // The token keeps other users of this host from joining the world by guessing its port.
      CHECKPOINT_ENGINE_TOKEN: env.CHECKPOINT_ENGINE_TOKEN || randomBytes(24).toString('base64url'),
    });
    world.devices = await world.#join('Starting the ranks', settings.timeoutMs, () => {
      return world.#ranks.map((rank) => rank.open(settings));
    });
    return world;
  }

  /** @throws The first failure of any rank. All processes have ended then. */
  async call<Name extends CallName>(
    name: Name,
    request: CallRequest<Name>,
    { signal, onEvent }: CallOptions = {},
  ): Promise<CallResult<Name>[]> {
    const timeoutMs = 'timeoutMs' in request ? request.timeoutMs : this.#timeoutMs;
    const send = () => this.#ranks.map((rank) => rank.call(name, request, onEvent));
    return await this.#join(`The call "${name}" of the ranks`, timeoutMs, send, signal);
  }

  /** Ranks have 10 s to end, and 10 s more if they have to be killed. */
  async close(): Promise<void> {
    for (const rank of this.#ranks) rank.close();
    const ended = Promise.all(this.#ranks.map((rank) => rank.ended));
    if (!(await settlesWithin(ended, CLOSE_MS))) this.#kill();
    await ended;
    this.#stopListening();
  }

  async #join<Value>(
    what: string,
    timeoutMs: number,
    send: () => readonly SentCall<Value>[],
    signal?: AbortSignal,
  ): Promise<Value[]> {
    const hint = 'Check the logs of the ranks; raise --timeout if they were only slow';
    const limit = { what, timeoutMs: timeoutMs + GRACE_MS, hint };
    const asked = signal ? AbortSignal.any([this.#asked, signal]) : this.#asked;
    const { values, failed } = await withTimeLimit(limit, asked, (stop) =>
      joinCalls(send(), { signal: stop, settleMs: 0 }),
    );
    if (values) return values;
    const failure: CheckpointEngineError = this.#asked.aborted
      ? toCheckpointEngineError(this.#asked.reason)
      : failed.failure;
    for (const rank of this.#ranks) rank.abortAll(failure);
    await this.close();
    throw failure;
  }

  #kill(): void {
    for (const rank of this.#ranks) rank.kill();
  }
}
