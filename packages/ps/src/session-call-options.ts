/** Options of every waiting call of a session with a worker. The time-out is that of the session. */
export interface SessionCallOptions {
  /** Ends the wait. The call rejects with the signal's reason; only `fail` and `close` may be called after that. */
  readonly signal: AbortSignal;
}
