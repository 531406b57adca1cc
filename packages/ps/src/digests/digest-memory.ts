import {
  addDigests,
  type DigestRange,
  type DigestRequest,
  digestBytes,
  type HostMemory,
} from '@checkpoint-engine/interface';

/** Digests host memory, with the threads of its device if the device supports it. */
export async function digestMemory(memory: HostMemory, request: DigestRequest): Promise<BigUint64Array> {
  if (memory.digest !== undefined) return await memory.digest(request);
  const sums = new BigUint64Array(request.sumCount);
  for (const range of request.ranges) digestInto(sums, memory, range, request.blockBytes);
  return sums;
}

function digestInto(sums: BigUint64Array, memory: HostMemory, range: DigestRange, blockBytes: number): void {
  const { offsetBytes, sizeBytes, rows = 1, pitchBytes = sizeBytes, positionBytes, sum } = range;
  const { positionPitchBytes = sizeBytes } = range;
  const blockOf = (position: number): number => (blockBytes === 0 ? 0 : Math.floor(position / blockBytes));
  for (let row = 0; row < rows; row++) {
    const position = positionBytes + row * positionPitchBytes;
    for (let done = 0; done < sizeBytes; ) {
      const at = position + done;
      const left = sizeBytes - done;
      const part = blockBytes === 0 ? left : Math.min(left, blockBytes - (at % blockBytes));
      const bytes = memory.view(offsetBytes + row * pitchBytes + done, part);
      const index = sum + blockOf(at) - blockOf(positionBytes);
      sums[index] = addDigests([sums[index]!, digestBytes(bytes, at)]);
      done += part;
    }
  }
}
