// The compliance suites under `deno test`, with Deno's node:test as the runner; members are Deno processes as well.
import * as runner from 'node:test';
import { broadcastSuite, p2pSuite, processes } from '@checkpoint-engine/transport-compliance';

const factory = new URL('./member.js', import.meta.url);
const options = { runner, name: 'shm', factory, world: processes(), maxRanks: 3, bigBytes: 2_000_003 };

broadcastSuite(options);
p2pSuite(options);
