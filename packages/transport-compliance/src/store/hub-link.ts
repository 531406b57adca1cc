import type { StoreLink } from './store-call.ts';
import type { StoreHub } from './store-hub.ts';

/** Reaches a hub of the same process. */
export function hubLink(hub: StoreHub, rank: number): StoreLink {
  return { request: (call) => hub.handle(rank, call), close: async () => {} };
}
