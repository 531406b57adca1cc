/** Options of every waiting call of a session with a worker. Its time-out is the session's. */
export interface SessionCallOptions {
  /** Ends the wait; the call rejects with the signal's reason, and only `fail` and `close` may follow. */
  readonly signal: AbortSignal;
}
