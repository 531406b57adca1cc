import type { MemoryRange } from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';
import type { Bucket } from '@checkpoint-engine/planner';
import type { ProgressEvent } from '../progress-event.ts';
import type { BucketSource } from '../sources/bucket-source.ts';
import { JointSource } from '../sources/joint-source.ts';
import { openPeerSource } from './open-peer-source.ts';
import type { PlannedUpdate } from './plan-update.ts';
import type { UpdateContext } from './update-context.ts';

/** Input of {@link openSources}. */
export interface SourcesInput {
  readonly context: UpdateContext;
  readonly planned: PlannedUpdate;
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
  readonly cleanup: Cleanup;
  /** Whether to compare bytes from files with the bytes that were read before. */
  readonly verifies: boolean;
}

/** Opens the sources of the buckets that this rank sends to the others: its own pool, pools of peers, both or none. */
export async function openSources(input: SourcesInput): Promise<BucketSource> {
  const { context, planned, signal, emit, cleanup } = input;
  const { rank } = context.store;
  const isOwn = ({ ownerRank }: Bucket): boolean => !context.isForeign && ownerRank === rank;
  const held = planned.ownBuckets.filter(isOwn);
  const read = planned.ownBuckets.filter((bucket) => !isOwn(bucket));
  const options = {
    alignBytes: planned.plan.alignBytes,
    stream: cleanup.use(context.device.createStream('h2d')),
    signal,
    emit,
    reportsReads: context.reportsReads,
    verifies: input.verifies,
    logger: context.logger,
  };
  const others = read.length > 0 ? cleanup.use(await openPeerSource(context, read, options)) : noSource;
  if (held.length === 0) return others;
  const own = cleanup.use(
    await context.held!.openSource({
      ...options,
      metas: context.metas.find((metas) => metas.rank === rank)!,
      buckets: held,
    }),
  );
  return read.length === 0 ? own : new JointSource(own, others, isOwn);
}

/** The source of a rank that sends nothing. */
const noSource: BucketSource = {
  ready: (bucket) => nothing(bucket),
  load: (bucket: Bucket, _target: MemoryRange) => nothing(bucket),
  close: async () => {},
};

function nothing({ index }: Bucket): Promise<never> {
  return Promise.reject(new Error(`Bucket ${index} was requested, but this rank has none`));
}
