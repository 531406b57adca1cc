import type { UpdateOptions } from '../api.ts';
import type { WorkerProtocol } from '../session.ts';
import type { Proposal } from './agreement.ts';
import type { BroadcastLink } from './broadcast-link.ts';
import type { UpdateContext } from './update-context.ts';

/** The digests of this rank's share that are not known yet. */
function pendingDigests({ held }: UpdateContext): Pick<Proposal, 'digestsInPlace' | 'digestsReads'> {
  if (held?.digests === undefined || held.digests.complete) return { digestsInPlace: false, digestsReads: false };
  const { regions, fill } = held;
  return {
    digestsInPlace: regions.some(({ placed }) => placed !== undefined),
    digestsReads: fill !== undefined || regions.some(({ file }) => file !== undefined),
  };
}

/** Builds this rank's proposal for an update. @param link The link of the group that the update needs. */
export function propose(
  context: UpdateContext,
  options: UpdateOptions,
  protocol: WorkerProtocol,
  link: BroadcastLink | undefined,
): Proposal {
  const { updates, links, rings, metasDigest, device, host, nics } = context;
  return {
    counter: updates.last,
    generation: links.generation,
    groupGeneration: link?.generation ?? 0,
    metasDigest,
    deviceUuid: device.uuid,
    host,
    nics,
    freeBytes: device.memoryInfo().freeBytes + rings.keptBytes,
    reload: context.pace.cost ?? null,
    digests: context.held === undefined || context.held.tensors.length === 0 || context.held.digests !== undefined,
    ...pendingDigests(context),
    options: {
      ranks: options.ranks ?? [],
      bucketBytes: options.bucketBytes ?? null,
      deviceMemoryBytes: options.deviceMemoryBytes ?? null,
      inferenceParallelSize: options.inferenceParallelSize ?? null,
      releaseCommunicators: options.releaseCommunicators ?? false,
      passes: options.passes ?? 'one',
      method: options.method ?? 'auto',
      weightVersion: options.weightVersion ?? context.weightVersion ?? null,
      verify: options.verify ?? 'sample',
      choosesWorkers: options.chooseWorkers !== undefined,
      pulls: protocol.pulls ?? false,
      metas: context.isForeign ? 'loaded' : 'gathered',
      broadcast: links.hasTransport,
      outOfPlace: links.outOfPlace,
      p2p: context.p2p?.name ?? null,
    },
  };
}
