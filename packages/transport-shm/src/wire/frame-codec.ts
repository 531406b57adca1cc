import { Decoder, Encoder } from '@msgpack/msgpack';

/** One message of the control protocol: plain data with a name. */
export interface Frame {
  readonly type: string;
}

const headerBytes = 4;
/** Far more than any frame has; a length beyond it means that the other side speaks something else. */
const mostBytes = 16 * 1024 * 1024;

const encoder = new Encoder({ ignoreUndefined: true });
const decoder = new Decoder();

/** A frame as it goes over a socket: its length (4 bytes, big-endian), then msgpack. */
export function encodeFrame(frame: Frame): Uint8Array {
  const body = encoder.encodeSharedRef(frame);
  const bytes = new Uint8Array(headerBytes + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, headerBytes);
  return bytes;
}

/** Cuts what a socket gives into frames. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array();

  /**
   * Takes the next bytes and gives the frames that they complete.
   *
   * @throws {RangeError} A length is not plausible, or a frame is not one.
   */
  push(chunk: Uint8Array): Frame[] {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= headerBytes) {
      const sizeBytes = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
      if (sizeBytes > mostBytes) throw new RangeError(`A frame of ${sizeBytes} bytes, the most is ${mostBytes}`);
      const end = at + headerBytes + sizeBytes;
      if (end > bytes.length) break;
      frames.push(decodeFrame(bytes.subarray(at + headerBytes, end)));
      at = end;
    }
    this.#rest = bytes.slice(at);
    return frames;
  }
}

function decodeFrame(bytes: Uint8Array): Frame {
  const value = decoder.decode(bytes);
  if (typeof value === 'object' && value !== null && typeof Reflect.get(value, 'type') === 'string') {
    return value as Frame;
  }
  throw new RangeError(`A frame is an object with a type, not ${typeof value}`);
}
