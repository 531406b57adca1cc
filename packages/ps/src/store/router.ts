/** A message of a client, or to one. */
export interface Addressed {
  /** The client's name, one character for each of its bytes. */
  readonly identity: string;
  readonly frames: Uint8Array[];
}

/** The store server's end of the connections to its clients, by their names. */
export interface StoreRouter {
  /** `tcp://host:port` */
  readonly address: string;
  /** Hands every message that comes to `take` from now on. Called once; `take` must not throw. */
  start(take: (message: Addressed) => void): void;
  /** Sends a message; one for a client that is not there is dropped. Rejects only when the router is closed. */
  send(message: Addressed): Promise<void>;
  /** A client has joined the world, or is not part of it any more: who has not joined may send little, and for a while. */
  setJoined(identity: string, hasJoined: boolean): void;
  /** A beat of the server went by: who has not joined may send a few messages again. */
  beat(): void;
  /** Sends what it was given, for a moment, then closes the connections and releases the port. */
  close(): Promise<void>;
}
