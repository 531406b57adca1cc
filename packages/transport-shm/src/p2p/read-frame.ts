import type { Frame } from '../wire/frame-codec.ts';
import { isCount, isListOf, isText } from '../wire/shape.ts';
import type { GrantedRange, OwnerFrame, ReaderFrame } from './frames.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Checks a value from a reader. @throws {RangeError} It is not a frame for owners. */
export function readOwnerFrame(frame: Frame): OwnerFrame {
  const { type, id, keys } = frame as Frame & Fields;
  const isValid =
    type === 'closed' ||
    (type === 'release' && isCount(id)) ||
    (type === 'lease' && isCount(id) && isListOf(keys, isText));
  if (isValid) return frame as OwnerFrame;
  throw new RangeError(`A reader sent a malformed frame "${type.slice(0, 20)}"`);
}

/** Checks a value from an owner. @throws {RangeError} It is not a frame for readers. */
export function readReaderFrame(frame: Frame): ReaderFrame {
  const { type, id, key, ranges, leaseMs } = frame as Frame & Fields;
  const isValid =
    type === 'closed' ||
    (type === 'refuse' && isCount(id) && isText(key)) ||
    (type === 'grant' && isCount(id) && isListOf(ranges, isGranted) && typeof leaseMs === 'number');
  if (isValid) return frame as ReaderFrame;
  throw new RangeError(`An owner sent a malformed frame "${type.slice(0, 20)}"`);
}

function isGranted(value: unknown): value is GrantedRange {
  if (typeof value !== 'object' || value === null) return false;
  const { handle, memoryBytes, offsetBytes, sizeBytes } = value as Fields;
  return (
    handle instanceof Uint8Array &&
    isCount(memoryBytes) &&
    isCount(offsetBytes) &&
    isCount(sizeBytes) &&
    offsetBytes + sizeBytes <= memoryBytes
  );
}
