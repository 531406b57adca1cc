import type { Frame } from '../wire/frame-codec.ts';
import { isCount } from '../wire/shape.ts';
import type { GroupFrame } from './frames.ts';

/** Checks a value from a member. @throws {RangeError} It is not a frame of a group. */
export function readGroupFrame(frame: Frame): GroupFrame {
  const fields = frame as Frame & Readonly<Record<string, unknown>>;
  if (isGroupFrame(fields)) return frame as GroupFrame;
  throw new RangeError(`A member sent a malformed frame "${frame.type.slice(0, 20)}"`);
}

function isGroupFrame(fields: Frame & Readonly<Record<string, unknown>>): boolean {
  const { type, call, calls, error, handle, memoryBytes, offsetBytes, sizeBytes } = fields;
  switch (type) {
    case 'abort':
      return typeof error === 'object' && error !== null;
    case 'bye':
      return isCount(calls);
    case 'ack':
    case 'filled':
    case 'root':
      return isCount(call);
    case 'expect':
      return isCount(call) && isCount(sizeBytes);
    case 'ready':
      return isCount(call) && handle instanceof Uint8Array && isCount(offsetBytes) && isCount(sizeBytes);
    case 'announce':
      return (
        isCount(call) &&
        handle instanceof Uint8Array &&
        isCount(memoryBytes) &&
        isCount(offsetBytes) &&
        isCount(sizeBytes) &&
        offsetBytes + sizeBytes <= memoryBytes
      );
    default:
      return false;
  }
}
