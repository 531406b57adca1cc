/** A rank's end of the connection to the store server. It connects again by itself. */
export interface StoreDealer {
  /** Makes sure that it is connected or connecting. Tells whether a message may be sent that need not arrive. */
  reach(): boolean;
  /** Sends a message; waits while there is no connection. Rejects only when the dealer is closed. */
  send(frames: Uint8Array[]): Promise<void>;
  /** Closes. What was sent gets a moment to go out. */
  close(lingerMs?: number): Promise<void>;
}
