import type { LocalSocket } from './front/local-socket.ts';

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
  /** Where ranks of the same user on the same machine reach it directly, if they can. */
  readonly localSocket?: LocalSocket | undefined;
  /** Passes every message to `take` from now on. Called once; `take` must not throw. */
  start(take: (message: Addressed) => void): void;
  /** Sends a message; drops it if the client is not connected. Rejects only when the router is closed. */
  send(message: Addressed): Promise<void>;
  /** A client has joined the world, or has left it. Before it has joined, its messages and its time are limited. */
  setJoined(identity: string, hasJoined: boolean): void;
  /** A beat of the server: clients that have not joined may send a few messages again. */
  beat(): void;
  /** Sends queued messages for a moment, then closes the connections and releases the port. */
  close(): Promise<void>;
}
