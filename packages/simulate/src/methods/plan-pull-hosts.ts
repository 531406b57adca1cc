import type { RankMetas } from '@checkpoint-engine/meta';
import type { DividedModel } from '@checkpoint-engine/planner';
import {
  alignUp,
  assignPullReaders,
  needsOf,
  placeInRing,
  planPull,
  positionOf,
  type ReadChunk,
} from '@checkpoint-engine/planner';
import type { Ranks } from '../check-scenario.ts';
import type { Scenario } from '../scenario.ts';
import { KeptBytes } from './chunk-bytes.ts';
import type { HostClass } from './host-classes.ts';
import { type ChunkGroup, mergeChunks, type PlacedChunk } from './merge-chunks.ts';
import { nicTopology } from './nic-topology.ts';
import { keptBytes } from './planned.ts';

const MIB = 2 ** 20;
/** Chunks and rings of the parameter server. */
const CHUNK_BYTES = 32 * MIB;
const CHUNKS_IN_RING = 4;

/** The data that passes through the memory of one host. */
export interface PullHost {
  readonly hostClass: HostClass;
  readonly chunkCount: number;
  readonly groups: readonly ChunkGroup[];
  /** Bytes of the host's own pools that each member keeps. */
  readonly pooledBytes: readonly number[];
  /** Bytes that each member keeps. */
  readonly keptBytes: readonly number[];
  readonly ringBytes: number;
}

/** All tensors in the order of the ranks that hold them. */
export interface HeldTensors {
  readonly metas: readonly RankMetas[];
  readonly model: DividedModel;
  /** The rank that holds each tensor. */
  readonly holders: Int32Array;
  /** Number of hosts that are simulated. */
  readonly hosts: number;
}

/** Plans the pull of one host with the same functions as a parameter server. */
export function planPullHost(scenario: Scenario, ranks: Ranks, held: HeldTensors, hostClass: HostClass): PullHost {
  const { topology, layout, bucketBytes } = scenario;
  const { metas, model, holders } = held;
  const { members } = hostClass;
  const needs = new Map(
    members.map(({ rank }) => [rank, needsOf(model, layout, positionOf(layout, rank - ranks.firstReceiver))]),
  );
  const isJoining = ranks.firstReceiver > 0;
  const own = new Set(isJoining ? [] : members.map(({ rank }) => rank));
  const ownerOf = holders.map((holder) => (own.has(holder) ? -1 : holder));
  const chunkBytes = Math.max(4096, Math.min(bucketBytes ?? CHUNK_BYTES, CHUNK_BYTES));
  const chunks = assignPullReaders(planPull({ ownerOf, needs, chunkBytes }), {
    local: own,
    localTopology: nicTopology(
      members.map(({ rank }) => rank),
      topology,
    ),
    remoteTopology: nicTopology(
      metas.map(({ rank }) => rank),
      topology,
    ),
  });
  const kept = new Map([...needs].map(([rank, own]) => [rank, new KeptBytes(own, holders.length)]));
  const ringBytes = CHUNKS_IN_RING * alignUp(chunkBytes, 256);
  const afters = placesOf(chunks, ringBytes);
  const placed = chunks.map((chunk, index): PlacedChunk => {
    return {
      ...chunk,
      after: afters[index]!,
      keptBytes: chunk.receivers.map((rank) => kept.get(rank)!.ofChunk(chunk)),
    };
  });
  return {
    hostClass,
    chunkCount: chunks.length,
    groups: mergeChunks(placed, CHUNKS_IN_RING, held.hosts),
    pooledBytes: members.map(({ rank }) => pooled(needs.get(rank)!, ownerOf)),
    keptBytes: members.map(({ rank }) => keptBytes(needs.get(rank)!)),
    ringBytes: new Set(chunks.map(({ readerRank }) => readerRank)).size * ringBytes,
  };
}

function pooled(
  { tensor, rows, rowBytes }: { tensor: Uint32Array; rows: Float64Array; rowBytes: Float64Array },
  ownerOf: Int32Array,
): number {
  let bytes = 0;
  for (let at = 0; at < tensor.length; at++) if (ownerOf[tensor[at]!] === -1) bytes += rows[at]! * rowBytes[at]!;
  return bytes;
}

/** For each chunk, the turn of the chunk of its reader that must be free first. */
function placesOf(chunks: readonly ReadChunk[], ringBytes: number): Int32Array {
  const own = new Map<number, number[]>();
  for (const [index, { readerRank }] of chunks.entries()) {
    const list = own.get(readerRank);
    if (list === undefined) own.set(readerRank, [index]);
    else list.push(index);
  }
  const afters = new Int32Array(chunks.length);
  for (const indices of own.values()) {
    const places = placeInRing(
      indices.map((index) => chunks[index]!.sizeBytes),
      ringBytes,
    );
    for (const [turn, { after }] of places.entries()) afters[indices[turn]!] = after;
  }
  return afters;
}
