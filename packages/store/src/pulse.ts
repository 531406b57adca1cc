/** The interval of heartbeats of both sides, and the time after which a silent side is lost. */
export interface HeartbeatOptions {
  /** @default 500 */
  readonly heartbeatMs?: number | undefined;
  /** @default 5_000 */
  readonly lostAfterMs?: number | undefined;
}

/** The silence of a peer, counted in beats of our own, so that a stall of our event loop counts as one beat. */
export class Silence {
  #beats = 0;

  /** Own beats since the last message of the peer. */
  get beats(): number {
    return this.#beats;
  }

  heard(): void {
    this.#beats = 0;
  }

  /** Counts one own beat. Returns whether the peer has been silent for `lostAfterMs`. */
  beat({ heartbeatMs, lostAfterMs }: Required<Heartbeat>): boolean {
    this.#beats += 1;
    return this.#beats * heartbeatMs > lostAfterMs;
  }
}

/** Both times, with defaults applied. */
export interface Heartbeat {
  readonly heartbeatMs: number;
  readonly lostAfterMs: number;
}

/** Applies defaults. @throws {RangeError} A peer would be lost before it could have sent two beats. */
export function heartbeat({ heartbeatMs = 500, lostAfterMs = 5_000 }: HeartbeatOptions): Heartbeat {
  if (!(heartbeatMs > 0)) throw new RangeError(`heartbeatMs must be above 0, not ${heartbeatMs}`);
  if (!(lostAfterMs >= 2 * heartbeatMs)) {
    throw new RangeError(`lostAfterMs must be at least twice heartbeatMs (${2 * heartbeatMs}), not ${lostAfterMs}`);
  }
  return { heartbeatMs, lostAfterMs };
}
