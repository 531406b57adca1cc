/** A rank's end of the connection to the store server. It reconnects by itself. */
export interface StoreDealer {
  /** Makes sure that it is connected or connecting. Returns whether an optional message may be sent. */
  reach(): boolean;
  /** Sends a message. Waits while there is no connection. Rejects only when the dealer is closed. */
  send(frames: Uint8Array[]): Promise<void>;
  /** Closes. Sent messages have a moment to go out. */
  close(lingerMs?: number): Promise<void>;
}
