import { broadcastSuite, inProcess, p2pSuite } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';
import { HeapBroadcast, killHeapMember } from './heap/heap-broadcast.ts';
import { HeapDevice } from './heap/heap-device.ts';
import { HeapP2P, killHeapPeer } from './heap/heap-p2p.ts';

broadcastSuite({
  runner,
  name: 'heap',
  factory: async ({ worldName }) => ({ device: new HeapDevice(), transport: new HeapBroadcast(worldName) }),
  world: inProcess({ kill: killHeapMember }),
});

broadcastSuite({
  runner,
  name: 'heap with the least support',
  factory: async ({ worldName }) => {
    const least = { outOfPlace: false, maxPending: 1 };
    return { device: new HeapDevice(), transport: new HeapBroadcast(worldName, undefined, least) };
  },
  world: inProcess(),
  maxRanks: 2,
});

p2pSuite({
  runner,
  name: 'heap',
  factory: async ({ worldName, rank }) => ({ device: new HeapDevice(), transport: new HeapP2P(worldName, rank) }),
  world: inProcess({ kill: killHeapPeer }),
});
