import type { Needs } from '@checkpoint-engine/interface';
import type { PullChunk } from '@checkpoint-engine/planner';

/** Finds how many bytes of a range of a tensor a rank keeps. */
export class KeptBytes {
  readonly #needs: Needs;
  /** The first box of each tensor, and the box after its last one. Boxes are ascending by tensor. */
  readonly #starts: Int32Array;

  constructor(needs: Needs, tensorCount: number) {
    this.#needs = needs;
    this.#starts = new Int32Array(tensorCount + 1);
    for (const tensor of needs.tensor) this.#starts[tensor + 1]! += 1;
    for (let tensor = 0; tensor < tensorCount; tensor++) this.#starts[tensor + 1]! += this.#starts[tensor]!;
  }

  /** Bytes of a chunk that the rank keeps. */
  ofChunk({ tensor, tensorOffsetBytes, rangeBytes }: PullChunk): number {
    let bytes = 0;
    for (let at = 0; at < tensor.length; at++) {
      bytes += this.ofRange(tensor[at]!, tensorOffsetBytes[at]!, tensorOffsetBytes[at]! + rangeBytes[at]!);
    }
    return bytes;
  }

  ofRange(tensor: number, fromBytes: number, toBytes: number): number {
    let bytes = 0;
    for (let box = this.#starts[tensor]!; box < this.#starts[tensor + 1]!; box++) {
      bytes += this.#before(box, toBytes) - this.#before(box, fromBytes);
    }
    return bytes;
  }

  /** Bytes of a box before an offset of its tensor. */
  #before(box: number, atBytes: number): number {
    const { offsetBytes, rows, rowBytes, pitchBytes } = this.#needs;
    const inBox = atBytes - offsetBytes[box]!;
    if (inBox <= 0) return 0;
    const row = Math.floor(inBox / pitchBytes[box]!);
    if (row >= rows[box]!) return rows[box]! * rowBytes[box]!;
    return row * rowBytes[box]! + Math.min(inBox - row * pitchBytes[box]!, rowBytes[box]!);
  }
}
