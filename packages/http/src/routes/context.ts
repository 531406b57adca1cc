import type { Updates } from '../updates.ts';
import type { HttpWorld } from '../world.ts';

/** The data that routes use. */
export interface RouteContext {
  readonly world: HttpWorld;
  readonly updates: Updates;
  /** Fires when the server ends: long answers end with it. */
  readonly closing: AbortSignal;
}
