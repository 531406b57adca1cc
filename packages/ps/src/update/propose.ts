import type { UpdateOptions } from '../server/api.ts';
import type { Proposal } from './agreement.ts';
import type { UpdateContext } from './update-context.ts';

/** What this rank brings to an update. */
export function propose({ counter, link, metasDigest, device, host }: UpdateContext, options: UpdateOptions): Proposal {
  return {
    counter,
    groupGeneration: link.generation,
    hasGroup: link.isUsable,
    metasDigest,
    deviceUuid: device.uuid,
    host,
    freeBytes: device.memoryInfo().freeBytes,
    measuredStages: link.measuredStages,
    options: [
      options.bucketBytes ?? null,
      options.deviceMemoryBytes ?? null,
      options.inferenceParallelSize ?? null,
      options.stages === 'auto' ? 0 : (options.stages ?? 3),
      Number(options.releaseCommunicators ?? false),
      Number(options.passes === 'any'),
    ],
  };
}
