// The compliance suites under `deno test`, driven by node:test as Deno has it; members are Deno processes, too.
import * as runner from 'node:test';
import { broadcastSuite, p2pSuite, processes } from '@checkpoint-engine/transport-compliance';

const factory = new URL('./member.js', import.meta.url);
const options = { runner, name: 'shm', factory, world: processes(), maxRanks: 3, bigBytes: 2_000_003 };

broadcastSuite(options);
p2pSuite(options);
