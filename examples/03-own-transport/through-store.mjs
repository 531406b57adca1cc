// A broadcast transport that sends the bytes through the store: slow, but complete (docs/write-a-transport.md).
import { closed, groupOf } from './group.mjs';

/** @import { BroadcastGroup, BroadcastTransport } from '@checkpoint-engine/interface' */

/** @returns {BroadcastTransport} */
export function throughStore() {
  /** @type {BroadcastGroup[]} */
  const groups = [];
  let isClosed = false;
  return {
    specVersion: 1,
    name: 'through-store',
    supports: { memory: ['host'], outOfPlace: false, sharedTarget: false, maxPending: 1 },
    async join({ store, timeoutMs, signal }) {
      if (isClosed) throw closed();
      await store.barrier('join', { timeoutMs, signal });
      const group = groupOf(store);
      groups.push(group);
      return group;
    },
    async close() {
      isClosed = true;
      await Promise.all(groups.map((group) => group.close()));
    },
  };
}
