import type { Device, Logger, P2PEndpoint, P2PSupports, Store } from '@checkpoint-engine/interface';
import type { WorldMetas } from '../api.ts';
import type { HeldCheckpoint } from '../pool/held-checkpoint.ts';
import type { WorkerProtocol } from '../session.ts';
import type { BroadcastLinks } from './broadcast-links.ts';
import type { PlanCache } from './plan-cache.ts';
import type { PullKeeper } from './pull-keeper.ts';
import type { RingKeeper } from './ring-keeper.ts';
import type { WorkerPace } from './worker-pace.ts';

/** This rank's end of its P2P transport. */
export interface P2PAccess {
  /** Of the transport. */
  readonly name: string;
  readonly supports: P2PSupports;
  readonly endpoint: P2PEndpoint;
}

/** What one update is made from. */
export interface UpdateContext {
  readonly checkpoint: string;
  readonly metas: WorldMetas;
  readonly metasDigest: string;
  /** Of all tensors, where `metas` has those alone that come in buckets. */
  readonly wholeMetas?: WorldMetas | undefined;
  /** The metas are those of another world: its ranks hold the weights, and no rank of this one. */
  readonly isForeign: boolean;
  /** Metas of further worlds that hold the same bytes, to be read where an owner fails. */
  readonly fallbacks: readonly WorldMetas[];
  /** This rank's share; absent where the metas are those of another world. */
  readonly held: HeldCheckpoint | undefined;
  /** It was still being read into memory when the update began. */
  readonly wasFilling: boolean;
  readonly device: Device;
  readonly store: Store;
  readonly links: BroadcastLinks;
  readonly rings: RingKeeper;
  readonly pulls: PullKeeper;
  /** Called where a worker may go on reading the memory of checkpoints after the update has failed. */
  readonly retirePools: () => void;
  readonly p2p: P2PAccess | undefined;
  /** How workers are spoken to, where the caller of this update does not say. */
  readonly protocol: WorkerProtocol;
  readonly plans: PlanCache;
  /** Of this rank's worker, over all updates. */
  readonly pace: WorkerPace;
  readonly host: string;
  readonly nics: readonly string[];
  readonly memFraction: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly logger: Logger;
  /** Updates that this rank has seen. */
  readonly counter: number;
  /** Called as soon as the ranks agreed on the update's number. */
  readonly onCounter: (counter: number) => void;
}
