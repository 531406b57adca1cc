import { Buffer } from 'node:buffer';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { MetasPiece } from '../process/messages.ts';
import { type EncodedMetas, PIECE_BYTES } from '../process/metas-transfer.ts';

/** Maximum number of transfers at a time. A supervisor that stops in the middle of one starts another. */
const MAX_TRANSFERS = 16;

/** Encoded metas that travel between a rank and its supervisor, piece by piece. */
export class MetasPieces {
  readonly #taken = new Map<string, Uint8Array[]>();
  #given: ({ readonly name: string } & EncodedMetas) | undefined;

  /**
   * Returns the piece at an offset, and the size of the metas. All pieces are of the metas at the first one.
   *
   * @param encode Encodes the metas of the checkpoint.
   */
  give(name: string, offsetBytes: number, encode: () => EncodedMetas): MetasPiece {
    if (offsetBytes === 0 || this.#given?.name !== name) this.#given = { name, ...encode() };
    const { metas, areDigested } = this.#given;
    const end = Math.min(offsetBytes + PIECE_BYTES, metas.byteLength);
    if (end === metas.byteLength) this.#given = undefined;
    const piece = Buffer.from(metas.buffer, metas.byteOffset + offsetBytes, end - offsetBytes).toString('base64');
    return { piece, sizeBytes: metas.byteLength, areDigested };
  }

  /** Keeps the next piece of a transfer. */
  take(id: string, piece: string): void {
    const pieces = this.#taken.get(id) ?? [];
    pieces.push(Buffer.from(piece, 'base64'));
    this.#taken.set(id, pieces);
    if (this.#taken.size > MAX_TRANSFERS) this.#taken.delete(this.#taken.keys().next().value!);
  }

  /** Returns the metas of a transfer, and forgets them. @throws `CE_METAS_INVALID`: no piece of it has arrived. */
  finish(id: string): Uint8Array {
    const pieces = this.#taken.get(id);
    this.#taken.delete(id);
    if (pieces !== undefined) return new Uint8Array(Buffer.concat(pieces));
    throw new CheckpointEngineError('CE_METAS_INVALID', 'The metas have no bytes', 'Send the metas of a checkpoint');
  }
}
