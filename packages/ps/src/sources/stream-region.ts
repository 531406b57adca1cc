import type { Copy, FileRead, HostMemory, Memory, MemoryRange } from '@checkpoint-engine/interface';
import type { BucketCopy } from '@checkpoint-engine/planner';
import type { PlacedFile } from './placed-file.ts';
import type { StreamedFile } from './streamed-file.ts';

/** A file of a checkpoint that streams: read during the update, or mapped in place on `/dev/shm`. */
export type StreamRegion =
  | {
      readonly sizeBytes: number;
      readonly file: StreamedFile;
      readonly memory?: undefined;
      readonly placed?: undefined;
    }
  | { readonly sizeBytes: number; readonly memory: HostMemory; readonly placed: PlacedFile; readonly file?: undefined };

/** The reads that fill a chunk's place in the host ring. None if the chunk is completely mapped. */
export function readsOf(
  copies: readonly BucketCopy[],
  regions: readonly StreamRegion[],
  { offsetBytes: placeBytes }: MemoryRange,
): FileRead[] {
  return copies.flatMap(({ region, offsetBytes, bucketOffsetBytes, sizeBytes }) => {
    const { file } = regions[region]!;
    if (file === undefined) return [];
    return [{ path: file.path, fileOffsetBytes: offsetBytes, offsetBytes: placeBytes + bucketOffsetBytes, sizeBytes }];
  });
}

/**
 * The copies of a chunk to the device. The data in the ring has the same layout as in the bucket, so that neighbors
 * there are one copy, regardless of gaps in their file.
 */
export function copiesOf(
  copies: readonly BucketCopy[],
  regions: readonly StreamRegion[],
  place: MemoryRange,
  target: MemoryRange,
): Copy[] {
  const parts: { memory: Memory; offsetBytes: number; toBytes: number; sizeBytes: number }[] = [];
  for (const { region, offsetBytes, bucketOffsetBytes: toBytes, sizeBytes } of copies) {
    const { memory } = regions[region]!;
    const last = parts.at(-1);
    if (memory !== undefined) {
      parts.push({ memory, offsetBytes, toBytes, sizeBytes });
    } else if (last?.memory === place.memory) {
      last.sizeBytes = toBytes + sizeBytes - last.toBytes;
    } else {
      parts.push({ memory: place.memory, offsetBytes: place.offsetBytes + toBytes, toBytes, sizeBytes });
    }
  }
  return parts.map(({ memory, offsetBytes, toBytes, sizeBytes }) => ({
    from: { memory, offsetBytes, sizeBytes },
    to: { memory: target.memory, offsetBytes: target.offsetBytes + toBytes, sizeBytes },
  }));
}
