// The suite that every transport must pass, with node:test as the runner: node --test compliance.mjs
import * as runner from 'node:test';
import { broadcastSuite, processes } from '@checkpoint-engine/transport-compliance';

const factory = new URL('./member.mjs', import.meta.url);
broadcastSuite({ runner, name: 'through-store', factory, world: processes(), maxRanks: 3, bigBytes: 2 ** 20 + 5 });
