import { CheckpointEngineError, type P2PRead } from '@checkpoint-engine/interface';
import { parseKey, type RangeKey } from './control/key.ts';
import type { ReadJob } from './engine/reader.ts';
import { type Backing, backingOf } from './memory/backing.ts';
import { checkRange } from './memory/range.ts';
import type { Piece } from './plan-waves.ts';

/** Reads in the form that the engine and the control channel need. */
export interface ReadBatch {
  readonly job: ReadJob;
  /** A key of the owner, for the control channel; `undefined` if there is no channel. */
  readonly key: RangeKey | undefined;
  /** Number, address and size of each range that is read. */
  readonly ranges: readonly (readonly [number, string, number])[];
  readonly sizeBytes: number;
}

/**
 * Checks reads from one peer and prepares them.
 *
 * @throws {RangeError} A range is outside of its memory.
 * @throws `CE_NOT_SUPPORTED`, `CE_METAS_INVALID`, `CE_CLOSED`.
 */
export function prepareReads(peer: string, reads: readonly P2PRead[]): ReadBatch {
  for (const { remote, remoteOffsetBytes, local } of reads) {
    checkRange(local, 'read');
    const start = remoteOffsetBytes;
    if (!Number.isSafeInteger(start) || start < 0 || start + local.sizeBytes > remote.sizeBytes) {
      throw new RangeError(
        `A read must be inside its remote range of ${remote.sizeBytes} bytes: ${local.sizeBytes} bytes at ${start}`,
      );
    }
  }
  const memories = new Map<Backing, number>();
  const ranges = new Map<number, readonly [number, string, number]>();
  const keys = new Map<string, RangeKey | undefined>();
  const pieces: Piece[] = [];
  for (const { remote, remoteOffsetBytes, local } of reads) {
    if (local.sizeBytes === 0) continue;
    const backing = backingOf(local.memory);
    const segment = memories.get(backing) ?? memories.size;
    memories.set(backing, segment);
    const key = keys.get(remote.key) ?? parseKey(remote.key);
    keys.set(remote.key, key);
    if (key !== undefined) ranges.set(key.range, [key.range, remote.address, remote.sizeBytes]);
    const remoteAddress = BigInt(remote.address) + BigInt(remoteOffsetBytes);
    pieces.push({ segment, offset: local.offsetBytes, remoteAddress, size: local.sizeBytes });
  }
  const [key] = keys.values();
  if ([...keys.values()].some((other) => other?.incarnation !== key?.incarnation)) {
    throw new CheckpointEngineError(
      'CE_RANGE_NOT_REGISTERED',
      `The ranges of a batch were not all registered by ${peer}`,
      'Read from each owner in a separate batch, with its current metas',
      { op: 'read', peer },
    );
  }
  return {
    job: { peer, memories: [...memories.keys()], pieces },
    key,
    ranges: [...ranges.values()],
    sizeBytes: pieces.reduce((sum, { size }) => sum + size, 0),
  };
}
