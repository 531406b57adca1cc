import type { Device, Logger, Store } from '@checkpoint-engine/interface';
import type { HeldCheckpoint } from '../pool/held-checkpoint.ts';
import type { WorldMetas } from '../server/api.ts';
import type { WorkerProtocol } from '../session.ts';
import type { BroadcastLink } from './broadcast-link.ts';
import type { PlanCache } from './plan-cache.ts';

/** What one update is made from. */
export interface UpdateContext {
  readonly checkpoint: string;
  readonly metas: WorldMetas;
  readonly metasDigest: string;
  readonly held: HeldCheckpoint;
  readonly device: Device;
  readonly store: Store;
  readonly link: BroadcastLink;
  /** How workers are spoken to, where the caller of this update does not say. */
  readonly protocol: WorkerProtocol;
  readonly plans: PlanCache;
  readonly host: string;
  readonly memFraction: number | undefined;
  readonly maxBucketBytes: number | undefined;
  readonly logger: Logger;
  /** Updates that this rank has seen. */
  readonly counter: number;
  /** Called as soon as the ranks agreed on the update's number. */
  readonly onCounter: (counter: number) => void;
}
