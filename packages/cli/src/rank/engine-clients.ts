import type { Logger } from '@checkpoint-engine/interface';
import type { EngineClient } from '@checkpoint-engine/ps';
import type { Secrets } from '../config/environment.ts';
import type { EngineTargets } from '../config/jobs.ts';
import { engineClient, engineEndpoint } from './engine-client.ts';

/** Updates name few engines, but clients of a server may name any. */
const MOST_CLIENTS = 32;

/** The clients of a rank's engines. They are kept between updates, since a client that knows its engine asks it less. */
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
    const { engine, updatePath, pause, flushCache, isStranger } = targets;
    const key = JSON.stringify([
      ...[engine, engineEndpoint(targets, groupIndex)],
      ...[updatePath, pause, flushCache, isStranger].map((value) => value ?? null),
    ]);
    const client = this.#clients.get(key) ?? this.#make(targets, groupIndex);
    this.#clients.delete(key);
    this.#clients.set(key, client);
    for (const oldest of this.#clients.keys()) {
      if (this.#clients.size <= MOST_CLIENTS) break;
      this.#clients.delete(oldest);
    }
    return client;
  }

  #make(targets: EngineTargets, groupIndex: number): EngineClient {
    const apiKey = targets.isStranger === true ? undefined : this.#secrets.apiKey;
    return engineClient(targets, groupIndex, { apiKey, logger: this.#logger });
  }
}
