// The suite that every transport passes, driven by node:test: node --test compliance.mjs
import * as runner from 'node:test';
import { broadcastSuite, processes } from '@checkpoint-engine/transport-compliance';

const factory = new URL('./member.mjs', import.meta.url);
broadcastSuite({ runner, name: 'through-store', factory, world: processes(), maxRanks: 3, bigBytes: 2 ** 20 + 5 });
