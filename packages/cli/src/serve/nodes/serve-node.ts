import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointEngineError, type Logger, type Store } from '@checkpoint-engine/interface';
import { connectStore } from '@checkpoint-engine/ps';
import type { Environment } from '../../config/environment.ts';
import type { Interrupts } from '../../process/interrupts.ts';
import type { ToRank } from '../../process/messages.ts';
import type { RankPort } from '../../process/rank-port.ts';
import { spawnRank } from '../../process/spawn-rank.ts';
import { NodeChannel } from './node-channel.ts';
import { type FromNode, nodeKey, nodeScope, type ToNode } from './node-messages.ts';

/** The options of {@link serveNode}. */
export interface ServeNodeOptions {
  readonly node: number;
  readonly nodeCount: number;
  readonly nprocPerNode: number;
  /** The address of host 0. */
  readonly host: string;
  readonly port: number;
  readonly token: string;
  /** Address or interface of this host that P2P peers can reach. */
  readonly p2pHost: string;
  readonly env: Environment;
  readonly logger: Logger;
  readonly interrupts: Interrupts;
}

/**
 * Interval at which a host announces itself until it gets an answer, and the limits of its attempts to reach host 0.
 */
const ANNOUNCE_MS = 1_000;
const CONNECT_MS = 10_000;
const RETRY_MS = 1_000;
/** Time for ranks to release their resources. */
const CLOSE_MS = 10_000;

/**
 * Runs ranks of this host for a server on host 0, until that server or this process ends. If host 0 is lost, ends the
 * ranks and waits for it to return.
 *
 * @throws `CE_CONFIG_INVALID`: host 0 rejects this host.
 */
export async function serveNode(options: ServeNodeOptions): Promise<void> {
  const { node, logger, interrupts } = options;
  while (!interrupts.asked.aborted) {
    const store = await connect(options);
    if (!store) continue;
    const session = new NodeSession(options, store);
    let how: Awaited<ReturnType<NodeSession['run']>>;
    try {
      how = await session.run();
    } finally {
      await session.end();
      await store.close();
    }
    if (how === 'over') {
      logger.info({ node }, 'Host 0 has ended');
      return;
    }
  }
}

async function connect({ node, nodeCount, host, port, token, logger, interrupts }: ServeNodeOptions) {
  const signal = interrupts.asked;
  try {
    return await connectStore({ host, port, rank: node, worldSize: nodeCount, token, timeoutMs: CONNECT_MS, signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    const isFinal = CheckpointEngineError.isInstance(error) && error.code !== 'CE_STORE_UNREACHABLE';
    if (isFinal && error.code === 'CE_TOKEN_REFUSED') throw error;
    logger.warn({ node, err: error }, 'Waiting for host 0');
    await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
    return undefined;
  }
}

/** One connection of this host to host 0. */
class NodeSession {
  readonly #options: ServeNodeOptions;
  readonly #store: Store;
  readonly #incarnation = randomUUID();
  readonly #channel: NodeChannel<FromNode, ToNode>;
  readonly #ranks = new Map<number, { readonly port: RankPort; readonly ended: Promise<void> }>();
  #isWelcome = false;
  #refusal: CheckpointEngineError | undefined;
  #over!: (how: 'over') => void;
  readonly #isOver: Promise<'over'>;

  constructor(options: ServeNodeOptions, store: Store) {
    const { node, nprocPerNode } = options;
    this.#options = options;
    this.#store = store;
    this.#isOver = new Promise((resolve) => {
      this.#over = resolve;
    });
    this.#channel = new NodeChannel({
      scope: store.epoch(nodeScope(node, this.#incarnation), [0, node]),
      sends: 'up',
      onMessage: (message) => this.#onMessage(message),
    });
    this.#channel.send({ type: 'hello', nprocPerNode });
  }

  /** Resolves when host 0 ends or is lost, or this host must end. @throws The rejection by host 0. */
  async run(): Promise<'over' | 'lost' | 'asked'> {
    const { logger, node, interrupts } = this.#options;
    void this.#announce();
    let onAsked!: () => void;
    const asked = new Promise<'asked'>((resolve) => {
      onAsked = () => resolve('asked');
    });
    interrupts.asked.addEventListener('abort', onAsked, { once: true });
    if (interrupts.asked.aborted) onAsked();
    const lost = this.#channel.closed.then((reason) => {
      return { lost: reason };
    });
    const how = await Promise.race([this.#isOver, lost, asked]);
    interrupts.asked.removeEventListener('abort', onAsked);
    if (typeof how === 'object') logger.error({ node, err: how.lost }, 'Host 0 is lost');
    if (this.#refusal) throw this.#refusal;
    return typeof how === 'object' ? 'lost' : how;
  }

  /** Ends the ranks and the connection. */
  async end(): Promise<void> {
    const { insisted } = this.#options.interrupts;
    const ended = Promise.all([...this.#ranks.values()].map((rank) => rank.ended));
    const kill = (): void => {
      for (const { port } of this.#ranks.values()) port.kill();
    };
    for (const { port } of this.#ranks.values()) port.close();
    insisted.addEventListener('abort', kill, { once: true });
    const timer = setTimeout(kill, CLOSE_MS);
    await ended;
    clearTimeout(timer);
    insisted.removeEventListener('abort', kill);
    await this.#channel.close();
  }

  /** The store drops the key when a host leaves, so the host repeats it until it gets an answer. */
  async #announce(): Promise<void> {
    const { node, interrupts } = this.#options;
    const value = new TextEncoder().encode(this.#incarnation);
    while (!this.#isWelcome && !interrupts.asked.aborted) {
      await this.#store.set(nodeKey(node), value, { timeoutMs: CONNECT_MS }).catch(() => {});
      await sleep(ANNOUNCE_MS, undefined, { signal: interrupts.asked }).catch(() => {});
    }
  }

  #onMessage(message: ToNode): void {
    switch (message.type) {
      case 'welcome':
        this.#isWelcome = true;
        this.#options.logger.info({ node: this.#options.node }, 'Joined host 0');
        return;
      case 'refused':
        this.#refusal = CheckpointEngineError.fromJSON(message.error);
        this.#over('over');
        return;
      case 'bye':
        this.#over('over');
        return;
      case 'start':
        this.#start(message.rank, message.env);
        return;
      case 'send':
        this.#ranks.get(message.rank)?.port.send(this.#ofThisHost(message.message));
        return;
      default:
        this.#ranks.get(message.rank)?.port[message.type]();
    }
  }

  /** Peers reach this host at another address than host 0. */
  #ofThisHost(message: ToRank): ToRank {
    if (message.type !== 'open' || !message.world.p2p) return message;
    const { world } = message;
    return { ...message, world: { ...world, p2p: { ...world.p2p!, host: this.#options.p2pHost } } };
  }

  #start(rank: number, env: Readonly<Record<string, string>>): void {
    let onEnd!: () => void;
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve;
    });
    const port = spawnRank(
      { ...this.#options.env, ...env },
      {
        onMessage: (message) => this.#channel.send({ type: 'message', rank, message }),
        onLogLine: (line) => this.#channel.send({ type: 'log', rank, line }),
        onExit: (exit) => {
          this.#ranks.delete(rank);
          this.#channel.send({ type: 'exit', rank, exit });
          onEnd();
        },
      },
    );
    this.#ranks.set(rank, { port, ended });
  }
}
