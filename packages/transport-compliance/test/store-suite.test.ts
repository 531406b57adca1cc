import { hubLink, StoreHub, storeSuite, TestStore } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';

storeSuite({
  runner,
  name: 'of the suites',
  canLose: true,
  async open(worldSize) {
    const hub = new StoreHub();
    const stores = Array.from({ length: worldSize }, (_, rank) => new TestStore(hubLink(hub, rank), rank, worldSize));
    return { stores, lose: async (rank) => hub.lose(rank) };
  },
});
