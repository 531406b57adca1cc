import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointEngineError, type Logger, type Store } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import { connectStore, type StoreServer, startStoreServer } from '@checkpoint-engine/ps';
import { NodeChannel } from './node-channel.ts';
import { type FromNode, nodeKey, nodeScope, type ToNode } from './node-messages.ts';
import { RemoteNode } from './remote-node.ts';

/** The options of {@link NodeHub.open}. */
export interface NodeHubOptions {
  readonly nodeCount: number;
  readonly nprocPerNode: number;
  /** The address on this host to which the other hosts connect. */
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly logger: Logger;
}

/** Interval between checks for new hosts. */
const POLL_MS = 300;
/** Time for the other hosts to receive the message that the server ends. */
const BYE_MS = 2_000;

/** The meeting point of the other hosts of a served world. It runs on host 0. */
export class NodeHub {
  /** All hosts except this one. */
  readonly nodes: readonly RemoteNode[];
  readonly #options: NodeHubOptions;
  readonly #server: StoreServer;
  readonly #store: Store;
  readonly #closing = new AbortController();
  readonly #following: readonly Promise<void>[];
  readonly #channels = new Set<NodeChannel<ToNode, FromNode>>();

  private constructor(options: NodeHubOptions, server: StoreServer, store: Store) {
    this.#options = options;
    this.#server = server;
    this.#store = store;
    const { nodeCount, logger } = options;
    this.nodes = Array.from({ length: nodeCount - 1 }, (_, index) => new RemoteNode(index + 1, logger));
    this.#following = this.nodes.map((node) => this.#follow(node));
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID` */
  static async open(options: NodeHubOptions): Promise<NodeHub> {
    const { nodeCount: worldSize, host, port, token, logger } = options;
    const server = await startStoreServer({ host, port, worldSize, token, logger });
    try {
      return new NodeHub(options, server, await connectStore({ host, port: server.port, rank: 0, worldSize, token }));
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Ends the other hosts. Resolves when they have been notified. */
  async close(): Promise<void> {
    this.#closing.abort();
    const channels = [...this.#channels];
    for (const channel of channels) channel.send({ type: 'bye' });
    await settlesWithin(Promise.all(channels.map((channel) => channel.flushed())), BYE_MS);
    await Promise.all(channels.map((channel) => channel.close()));
    await Promise.all(this.#following);
    await this.#store.close();
    await this.#server.close();
  }

  async #follow(node: RemoteNode): Promise<void> {
    let before = '';
    while (!this.#closing.signal.aborted) {
      // If a host has left, the store reports it instead of answering.
      const value = await this.#store.get(nodeKey(node.node)).catch(() => undefined);
      const incarnation = value ? new TextDecoder().decode(value) : before;
      if (incarnation === before) {
        await sleep(POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => {});
        continue;
      }
      before = incarnation;
      await this.#serve(node, incarnation);
    }
  }

  /** Waits until the host leaves. */
  async #serve(node: RemoteNode, incarnation: string): Promise<void> {
    let isAttached = false;
    const channel = new NodeChannel<ToNode, FromNode>({
      scope: this.#store.epoch(nodeScope(node.node, incarnation), [0, node.node]),
      sends: 'down',
      onMessage: (message) => {
        if (message.type !== 'hello') {
          node.receive(message);
        } else if (message.nprocPerNode !== this.#options.nprocPerNode) {
          channel.send({ type: 'refused', error: this.#mismatch(node.node, message.nprocPerNode).toJSON() });
        } else {
          isAttached = true;
          node.attach(channel);
        }
      },
    });
    this.#channels.add(channel);
    channel.send({ type: 'welcome' });
    const reason = await channel.closed;
    this.#channels.delete(channel);
    if (isAttached) node.detach(reason);
    await channel.close();
  }

  #mismatch(node: number, nprocPerNode: number): CheckpointEngineError {
    return new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `Host ${node} has --nproc-per-node ${nprocPerNode}, but host 0 has ${this.#options.nprocPerNode}`,
      'Use the same --nproc-per-node on all hosts',
    );
  }
}
