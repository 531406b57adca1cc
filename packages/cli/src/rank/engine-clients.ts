import type { Logger } from '@checkpoint-engine/interface';
import type { EngineClient } from '@checkpoint-engine/ps';
import type { Secrets } from '../config/environment.ts';
import type { EngineTargets } from '../config/requests.ts';
import { engineClient, engineEndpoint } from './engine-client.ts';

/** Updates use few engines, but clients of a server may send any address. */
const MAX_CLIENTS = 32;

/**
 * The clients of a rank's engines. They are kept between updates, because a client that knows its engine sends fewer
 * queries.
 */
export class EngineClients {
  readonly #secrets: Secrets;
  readonly #logger: Logger;
  /** By target, with the client that was used last at the end. */
  readonly #clients = new Map<string, EngineClient>();

  constructor(secrets: Secrets, logger: Logger) {
    this.#secrets = secrets;
    this.#logger = logger;
  }

  /** The client of an inference group's engine. */
  of(targets: EngineTargets, groupIndex: number): EngineClient {
    const { engine, updatePath, pause, flushCache, isFromClient } = targets;
    const key = JSON.stringify([
      ...[engine, engineEndpoint(targets, groupIndex)],
      ...[updatePath, pause, flushCache, isFromClient].map((value) => value ?? null),
    ]);
    const client = this.#clients.get(key) ?? this.#make(targets, groupIndex);
    this.#clients.delete(key);
    this.#clients.set(key, client);
    for (const oldest of this.#clients.keys()) {
      if (this.#clients.size <= MAX_CLIENTS) break;
      this.#clients.delete(oldest);
    }
    return client;
  }

  #make(targets: EngineTargets, groupIndex: number): EngineClient {
    const apiKey = targets.isFromClient === true ? undefined : this.#secrets.apiKey;
    return engineClient(targets, groupIndex, { apiKey, logger: this.#logger });
  }
}
