import { CheckpointEngineError, digestText } from '@checkpoint-engine/interface';

/**
 * Location of a difference. `source`: data that a rank reads or holds; `arrival`: memory that a worker copies from;
 * `engine`: the parameters.
 */
export type VerifiedLeg = 'source' | 'arrival' | 'engine';

/** Bytes that differ from the registered ones. */
export interface Mismatch {
  readonly rank: number;
  readonly tensor: string;
  /** From the start of the tensor. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly expected: bigint;
  readonly seen: bigint;
  readonly leg: VerifiedLeg;
  /** Other ranks that may have the difference. */
  readonly otherRanks?: readonly number[] | undefined;
}

const PLACES: Record<VerifiedLeg, string> = {
  source: 'the source',
  arrival: 'the memory that the worker copies from',
  engine: 'the parameters of the engine',
};

const HINTS: Record<VerifiedLeg, string> = {
  source:
    'Find out what writes to the files or to the memory of the checkpoint, register it again, and update: the engine may hold weights of two checkpoints',
  arrival:
    'Update again; if it happens again, check the memory and the links of the host and of the owner: the engine may hold weights of two checkpoints',
  engine:
    'Update again; if it happens again, restart the engine and report this: it holds bytes that the checkpoint does not have',
};

/** The failure of an update that found bytes that differ from the registered ones. */
export function digestMismatch(mismatch: Mismatch): CheckpointEngineError {
  const { rank, tensor, offsetBytes, sizeBytes, expected, seen, leg, otherRanks = [] } = mismatch;
  const ranks = otherRanks.length === 0 ? `rank ${rank}` : `ranks ${[rank, ...otherRanks].join(', ')}, together,`;
  const digests = `expected digest ${digestText(expected)}, but ${ranks} has ${digestText(seen)}`;
  return new CheckpointEngineError(
    'CE_DIGEST_MISMATCH',
    `Tensor "${tensor}", bytes ${offsetBytes} to ${offsetBytes + sizeBytes}, differs in ${PLACES[leg]}: ${digests}`,
    HINTS[leg],
    { rank, tensor, op: 'verify', detail: detailOf(mismatch) },
  );
}

/** The facts of a mismatch for programs, as JSON. */
function detailOf({ expected, seen, ...facts }: Mismatch): string {
  return JSON.stringify({ ...facts, expected: digestText(expected), seen: digestText(seen) });
}
