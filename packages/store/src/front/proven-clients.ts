/** A client that has proved that it knows the token. */
export interface ProvenClient {
  /** Whether the store has sent it more than heartbeats: an answer to its hello. */
  readonly isAnswered: boolean;
  /** When its last bytes arrived, as `performance.now()`. */
  readonly heardAt: number;
  close(): void;
}

/**
 * The clients that know the token, with a limit on their number. One more closes the oldest that has not said hello,
 * or else the one that has been silent for the longest time. A rank that is alive is never the one: it says hello at
 * once, and is heard several times per second.
 */
export class ProvenClients {
  readonly #most: number;
  readonly #clients = new Set<ProvenClient>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Adds a client. Returns the one that had to close for it, if any. */
  add(client: ProvenClient): ProvenClient | undefined {
    const leaving = this.#clients.size < this.#most ? undefined : this.#leastUseful();
    leaving?.close();
    if (leaving !== undefined) this.#clients.delete(leaving);
    this.#clients.add(client);
    return leaving;
  }

  delete(client: ProvenClient): void {
    this.#clients.delete(client);
  }

  #leastUseful(): ProvenClient | undefined {
    let silent: ProvenClient | undefined;
    for (const client of this.#clients) {
      if (!client.isAnswered) return client;
      if (silent === undefined || client.heardAt < silent.heardAt) silent = client;
    }
    return silent;
  }
}
