import { encodePlaces, PULL_PART_LIMITS, type ServerMetas, type ServerRegions } from '@checkpoint-engine/interface';
import type { ParameterMeta } from '@checkpoint-engine/meta';
import type { PullLayout } from '../pull-channel.ts';

/** Maximum number of tensors in a part: a worker rejects messages of more than about 600,000 lists. */
const MAX_TENSORS = 65_536;
const PLACE_BYTES = 4 + 8 + 8 + 4 + 8;

/** The messages that describe tensors to a worker, in the order of their indexes. */
export function metasMessages(all: readonly ParameterMeta[]): ServerMetas[] {
  const groups: ParameterMeta[][] = [[]];
  let bytes = 0;
  for (const tensor of all) {
    const tensorBytes = 3 * tensor.name.length + 9 * tensor.shape.length + 32;
    if (groups.at(-1)!.length === MAX_TENSORS || bytes + tensorBytes > PULL_PART_LIMITS.fromServerBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(tensor);
    bytes += tensorBytes;
  }
  return groups.map((tensors, part) => ({
    ...{ type: 'metas', part, parts: groups.length },
    names: tensors.map(({ name }) => name),
    dtypes: tensors.map(({ dtype }) => dtype),
    shapes: tensors.map(({ shape }) => shape),
    sizes: tensors.map(({ sizeBytes }) => sizeBytes),
  }));
}

/** The messages that describe the regions that a worker must map: one without places, or as many as the places need. */
export function regionsMessages({ digest, regions, places }: PullLayout, withPlaces: boolean): ServerRegions[] {
  const head = { type: 'regions', layoutDigest: digest, regions } as const;
  if (!withPlaces) return [{ ...head, part: 0, parts: 1 }];
  const each = Math.floor(PULL_PART_LIMITS.fromServerBytes / PLACE_BYTES);
  const parts = Math.max(1, Math.ceil(places.tensor.length / each));
  return Array.from({ length: parts }, (_, part) => {
    const range = [part * each, (part + 1) * each] as const;
    const columns = {
      tensor: places.tensor.subarray(...range),
      tensorOffsetBytes: places.tensorOffsetBytes.subarray(...range),
      sizeBytes: places.sizeBytes.subarray(...range),
      region: places.region.subarray(...range),
      offsetBytes: places.offsetBytes.subarray(...range),
    };
    return { ...head, part, parts, places: encodePlaces(columns) };
  });
}
