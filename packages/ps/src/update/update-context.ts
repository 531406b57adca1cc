import type { Device, Logger, P2PEndpoint, P2PSupports, Store } from '@checkpoint-engine/interface';
import type { WorldMetas } from '../api.ts';
import type { WorldDigests } from '../metas/gathered-metas.ts';
import type { HeldCheckpoint } from '../pool/held-checkpoint.ts';
import type { WorkerProtocol } from '../session.ts';
import type { BroadcastLinks } from './broadcast-links.ts';
import type { PlanCache } from './plan-cache.ts';
import type { PullKeeper } from './pull-keeper.ts';
import type { RingKeeper } from './ring-keeper.ts';
import type { UpdateCounter } from './update-counter.ts';
import type { WorkerPace } from './worker-pace.ts';

/** This rank's end of its P2P transport. */
export interface P2PAccess {
  /** The name of the transport. */
  readonly name: string;
  readonly supports: P2PSupports;
  readonly endpoint: P2PEndpoint;
}

/** The parts of a rank that outlive its updates. */
export interface RankParts {
  readonly device: Device;
  readonly store: Store;
  readonly logger: Logger;
  readonly p2p: P2PAccess | undefined;
  /** The worker protocol, if the caller of an update does not choose one. */
  readonly protocol: WorkerProtocol;
  readonly host: string;
  readonly nics: readonly string[];
  readonly memFraction: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly links: BroadcastLinks;
  readonly rings: RingKeeper;
  readonly pulls: PullKeeper;
  readonly plans: PlanCache;
  /** The pace of this rank's worker, over all updates. */
  readonly pace: WorkerPace;
  /** Counts the updates that this rank has seen. */
  readonly updates: UpdateCounter;
  /** Called if a worker may continue to read the memory of checkpoints after an update has failed. */
  readonly retirePools: () => void;
}

/** The inputs of one update. */
export interface UpdateContext extends RankParts {
  readonly checkpoint: string;
  readonly metas: WorldMetas;
  readonly metasDigest: string;
  /** Version from the registration of the checkpoint. */
  readonly weightVersion: string | undefined;
  /** Digests of the bytes, if they were gathered or loaded with the metas. */
  readonly digests: WorldDigests;
  /** Metas of all tensors, if `metas` has only those that arrive in buckets. */
  readonly wholeMetas?: WorldMetas | undefined;
  /** Whether the metas are those of another world, whose ranks hold the weights. */
  readonly isForeign: boolean;
  /** Metas of further worlds that hold the same bytes, used if an owner fails. */
  readonly fallbacks: readonly WorldMetas[];
  /** This rank's share. Absent if the metas are those of another world. */
  readonly held: HeldCheckpoint | undefined;
  /** Whether the update reports the reads that fill this rank's share, even if they have ended. */
  readonly reportsReads: boolean;
}
