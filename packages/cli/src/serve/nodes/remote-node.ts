import type { CheckpointEngineError, Logger } from '@checkpoint-engine/interface';
import type { ToRank } from '../../process/messages.ts';
import type { OpenRankPort, RankPortEvents } from '../../process/rank-port.ts';
import type { NodeChannel } from './node-channel.ts';
import type { FromNode, ToNode } from './node-messages.ts';

/** A rank that another host runs. */
interface RemoteRank {
  readonly env: Readonly<Record<string, string>>;
  readonly events: RankPortEvents;
  /** Messages that wait for the host to join. */
  readonly backlog: ToRank[];
  isStarted: boolean;
}

/** Another host as host 0 sees it: it runs ranks, and may leave and return. */
export class RemoteNode {
  readonly node: number;
  readonly #logger: Logger;
  readonly #ranks = new Map<number, RemoteRank>();
  #channel: NodeChannel<ToNode, FromNode> | undefined;

  constructor(node: number, logger: Logger) {
    this.node = node;
    this.#logger = logger;
  }

  /** Starts a rank there once the host has arrived. */
  openRank(rank: number, env: Readonly<Record<string, string>>): OpenRankPort {
    return (events) => {
      const remote: RemoteRank = { env, events, backlog: [], isStarted: false };
      this.#ranks.set(rank, remote);
      if (this.#channel) this.#start(rank, remote);
      const end = (type: 'close' | 'kill'): void => {
        if (remote.isStarted) this.#channel?.send({ type, rank });
        else this.#drop(rank, remote, 'its host has not joined');
      };
      return {
        send: (message) => {
          if (remote.isStarted) this.#channel?.send({ type: 'send', rank, message });
          else remote.backlog.push(message);
        },
        close: () => end('close'),
        kill: () => end('kill'),
      };
    };
  }

  /** The host has arrived. */
  attach(channel: NodeChannel<ToNode, FromNode>): void {
    this.#channel = channel;
    this.#logger.info({ node: this.node }, 'A host has joined');
    for (const [rank, remote] of this.#ranks) this.#start(rank, remote);
  }

  /** The host has left, and its ranks with it. */
  detach(reason: CheckpointEngineError): void {
    this.#channel = undefined;
    this.#logger.error({ node: this.node, err: reason }, 'A host has left');
    for (const [rank, remote] of [...this.#ranks]) {
      if (remote.isStarted) this.#drop(rank, remote, `its host, node ${this.node}, has left: ${reason.message}`);
    }
  }

  receive(message: FromNode): void {
    if (message.type === 'hello') return;
    const { rank } = message;
    const remote = this.#ranks.get(rank);
    if (!remote) return;
    if (message.type === 'message') remote.events.onMessage(message.message);
    else if (message.type === 'log') remote.events.onLogLine(message.line);
    else {
      this.#ranks.delete(rank);
      remote.events.onExit(message.exit);
    }
  }

  #start(rank: number, remote: RemoteRank): void {
    remote.isStarted = true;
    this.#channel!.send({ type: 'start', rank, env: remote.env });
    for (const message of remote.backlog.splice(0)) this.#channel!.send({ type: 'send', rank, message });
  }

  #drop(rank: number, remote: RemoteRank, lost: string): void {
    if (this.#ranks.get(rank) === remote) this.#ranks.delete(rank);
    remote.events.onExit({ code: null, signal: null, lost });
  }
}
