import { createHash } from 'node:crypto';
import {
  decodeNeeds,
  type Needs,
  type NeedsSummary,
  PULL_PART_LIMITS,
  readNeedsSummary,
} from '@checkpoint-engine/interface';
import type { ReceivedMessage } from './frames.ts';

/** Maximum number of boxes of one worker, which bounds the server's memory for it. */
const MAX_BOXES = 4_000_000;
const COLUMNS = ['tensor', 'offset', 'rows', 'rowBytes', 'pitch', 'rest'] as const;

/** The parts of a worker's needs together. Not checked against any tensor yet. */
export interface ReceivedNeeds {
  readonly needs: Needs;
  readonly digest: string;
  readonly summary: NeedsSummary | undefined;
}

/** Collects the parts of a worker's needs, which arrive in order. */
export class NeedsParts {
  readonly #columns = new Map<string, Uint8Array[]>(COLUMNS.map((name) => [name, []]));
  #taken = 0;
  #parts = 0;
  #boxes = 0;

  /**
   * Takes a part. @returns All needs after the last part. @throws {RangeError} The part is out of order or malformed.
   */
  take(message: ReceivedMessage): ReceivedNeeds | undefined {
    const { part, parts } = message;
    const isNext = part === this.#taken && typeof parts === 'number' && (this.#taken === 0 || parts === this.#parts);
    if (!isNext || !Number.isSafeInteger(parts) || parts <= part || parts > PULL_PART_LIMITS.parts) {
      throw new RangeError(`part ${String(part)} of ${String(parts)} of its needs out of order`);
    }
    this.#parts = parts;
    this.#taken += 1;
    for (const name of COLUMNS) {
      const column = message[name];
      if (!(column instanceof Uint8Array)) throw new RangeError(`needs without "${name}"`);
      // A copy, so that the frame behind the view can be freed.
      this.#columns.get(name)!.push(column.slice());
    }
    this.#boxes += (message.tensor as Uint8Array).byteLength / 4;
    if (this.#boxes > MAX_BOXES) throw new RangeError(`${this.#boxes} boxes, at most ${MAX_BOXES} are accepted`);
    return this.#taken === parts ? this.#join(message.summary) : undefined;
  }

  #join(summary: unknown): ReceivedNeeds {
    const hash = createHash('sha256');
    const [tensor, offset, rows, rowBytes, pitch, rest] = COLUMNS.map((name) => {
      const bytes = concat(this.#columns.get(name)!);
      hash.update(`${name}:${bytes.byteLength}:`).update(bytes);
      return bytes;
    }) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    const needs = decodeNeeds({ tensor, offset, rows, rowBytes, pitch, rest });
    return { needs, digest: hash.digest('hex').slice(0, 32), summary: readNeedsSummary(summary) };
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const bytes = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
