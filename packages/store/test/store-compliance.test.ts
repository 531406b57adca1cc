import { connectStore, localStore, startStoreServer } from '@checkpoint-engine/store';
import { storeSuite } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';

storeSuite({
  runner,
  name: 'over sockets',
  canLose: true,
  async open(worldSize) {
    const server = await startStoreServer({ host: '127.0.0.1', port: 0, worldSize });
    const { address } = server;
    const join = (rank: number) => connectStore({ rank, worldSize, address });
    const stores = await Promise.all(Array.from({ length: worldSize }, (_, rank) => join(rank)));
    return { stores, lose: async (rank) => server.lose(rank, 'Its process ended'), close: () => server.close() };
  },
});

storeSuite({ runner, name: 'of a world of one', maxRanks: 1, open: async () => ({ stores: [localStore()] }) });
