import { broadcastSuite, inProcess, p2pSuite, processes } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';

const factory = new URL('./member.js', import.meta.url);

for (const world of [inProcess(), processes()]) {
  broadcastSuite({ runner, name: 'shm', factory, world });
  p2pSuite({ runner, name: 'shm', factory, world });
}
