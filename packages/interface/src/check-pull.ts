import type { Needs, Places } from './pull-columns.ts';

/**
 * Checks that needs name existing tensors and bytes inside them.
 *
 * @param sizesBytes Sizes of the tensors, by index.
 * @throws {RangeError} An entry is invalid; the message describes the first one.
 */
export function checkNeeds(needs: Needs, sizesBytes: ArrayLike<number>): void {
  const { tensor, offsetBytes, rows, rowBytes, pitchBytes, rest } = needs;
  const isRest = new Uint8Array(sizesBytes.length);
  for (const index of rest) {
    if (index >= sizesBytes.length) throw outOfRange(index, sizesBytes.length);
    if (isRest[index] === 1) throw new RangeError(`tensor ${index} twice in "rest"`);
    isRest[index] = 1;
  }
  for (let at = 0; at < tensor.length; at++) {
    const index = tensor[at]!;
    if (index >= sizesBytes.length) throw outOfRange(index, sizesBytes.length);
    if (isRest[index] === 1) throw new RangeError(`tensor ${index} in a box and in "rest"`);
    const box = { offset: offsetBytes[at]!, rows: rows[at]!, rowBytes: rowBytes[at]!, pitch: pitchBytes[at]! };
    const isShaped = box.rows >= 1 && box.rowBytes >= 1 && box.pitch >= box.rowBytes;
    if (!isShaped || (box.rows === 1 && box.pitch !== box.rowBytes)) {
      throw new RangeError(`a box of ${box.rows} rows of ${box.rowBytes} bytes, ${box.pitch} bytes apart`);
    }
    // The check bounds the operands first, so that the sum is exact.
    const isBounded = box.rows <= sizesBytes[index]! && box.pitch <= sizesBytes[index]!;
    const endBytes = box.offset + (box.rows - 1) * box.pitch + box.rowBytes;
    if (!isBounded || endBytes > sizesBytes[index]!) {
      throw new RangeError(`a box that ends at byte ${endBytes} of tensor ${index}, which has ${sizesBytes[index]}`);
    }
  }
}

/**
 * Checks that places name existing tensors and regions, are inside both, and are in order without overlap.
 *
 * @param sizesBytes       Sizes of the tensors, by index.
 * @param regionSizesBytes Sizes of the regions, by id.
 * @throws {RangeError} An entry is invalid; the message describes the first one.
 */
export function checkPlaces(
  places: Places,
  sizesBytes: ArrayLike<number>,
  regionSizesBytes: ReadonlyMap<number, number>,
): void {
  const { tensor, tensorOffsetBytes, sizeBytes, region, offsetBytes } = places;
  let lastTensor = 0;
  let lastEndBytes = 0;
  for (let at = 0; at < tensor.length; at++) {
    const index = tensor[at]!;
    const fromBytes = tensorOffsetBytes[at]!;
    const toBytes = fromBytes + sizeBytes[at]!;
    const regionBytes = regionSizesBytes.get(region[at]!);
    if (index >= sizesBytes.length) throw outOfRange(index, sizesBytes.length);
    if (regionBytes === undefined) throw new RangeError(`a place in region ${region[at]}, which was not declared`);
    if (toBytes > sizesBytes[index]!) {
      throw new RangeError(
        `a place of bytes ${fromBytes} to ${toBytes} of tensor ${index}, which has ${sizesBytes[index]}`,
      );
    }
    if (offsetBytes[at]! + sizeBytes[at]! > regionBytes) {
      throw new RangeError(
        `a place of ${sizeBytes[at]} bytes at ${offsetBytes[at]} of region ${region[at]}, which has ${regionBytes}`,
      );
    }
    if (at > 0 && (index < lastTensor || (index === lastTensor && fromBytes < lastEndBytes))) {
      throw new RangeError(`a place of tensor ${index} out of order, or one that overlaps another`);
    }
    lastTensor = index;
    lastEndBytes = toBytes;
  }
}

function outOfRange(index: number, count: number): RangeError {
  return new RangeError(`tensor ${index} of a checkpoint with ${count} tensors`);
}
