import type { Device, HostMemory, Memory, MemoryKind, MemoryRange, Stream } from '@checkpoint-engine/interface';
import { findMismatch, guardPattern, type Pattern, writePattern } from './pattern.ts';

/** A range of a member's named buffer. */
export interface Slice {
  readonly buffer: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** A range of a buffer and its content. */
export interface Content {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly pattern: Pattern;
  /** Position in the pattern of the range's first byte. @default 0 */
  readonly position?: number | undefined;
}

/** Arguments of {@link Buffers.fill} and {@link Buffers.check}. */
export interface Contents {
  readonly buffer: string;
  /** Ascending, without overlap; the bytes between them hold {@link guardPattern}. @default none */
  readonly contents?: readonly Content[] | undefined;
  /** The part of the buffer to check, for buffers that are too large to touch. @default all */
  readonly fromBytes?: number | undefined;
  readonly toBytes?: number | undefined;
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly pattern: Pattern;
  /** Position of the pattern at `start`. */
  readonly position: number;
}

const stagingBytes = 4 * 1024 * 1024;

/** A member's named buffers. It fills and checks them through host memory, so the same code tests device memory. */
export class Buffers {
  readonly #device: Device;
  readonly #memories = new Map<string, Memory>();
  #turn: Promise<unknown> = Promise.resolve();
  #staging: { memory: HostMemory; stream: Stream } | undefined;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Allocates shareable memory under a name. Returns its kind: a host device only has host memory. */
  async allocate(args: { buffer: string; kind: MemoryKind; sizeBytes: number }): Promise<MemoryKind> {
    const { buffer, kind, sizeBytes } = args;
    if (this.#memories.has(buffer)) throw new TypeError(`The buffer "${buffer}" exists already`);
    const memory =
      kind === 'device'
        ? await this.#device.allocateShared(sizeBytes)
        : await this.#device.allocateHost(sizeBytes, { shared: true });
    this.#memories.set(buffer, memory);
    return memory.kind;
  }

  /** Returns the handle with which another process opens a buffer. */
  handleOf(buffer: string): Uint8Array {
    const memory = this.#memory(buffer);
    if ('handle' in memory && memory.handle instanceof Uint8Array) return memory.handle;
    throw new TypeError(`The buffer "${buffer}" is not shared`);
  }

  /** Opens memory that another member shares, under a name. */
  async open(args: { buffer: string; handle: Uint8Array; sizeBytes: number }): Promise<void> {
    if (this.#memories.has(args.buffer)) throw new TypeError(`The buffer "${args.buffer}" exists already`);
    this.#memories.set(args.buffer, await this.#device.openShared(args.handle, args.sizeBytes));
  }

  /** Resolves a slice to a memory range. It does not check that the range is inside the memory. */
  range(slice: Slice): MemoryRange {
    return {
      memory: this.#memory(slice.buffer),
      offsetBytes: slice.offsetBytes,
      sizeBytes: slice.sizeBytes,
    };
  }

  /** Writes the contents and the guards. Concurrent calls take turns with the staging memory. */
  fill(contents: Contents): Promise<void> {
    return this.#inTurn(() => this.#fill(contents));
  }

  /** Describes the first wrong byte, or returns `null`. */
  check(contents: Contents): Promise<string | null> {
    return this.#inTurn(() => this.#check(contents));
  }

  async #fill(contents: Contents): Promise<void> {
    for (const piece of this.#pieces(contents)) {
      const { memory: staging, stream } = await this.#open();
      const sizeBytes = piece.end - piece.start;
      writePattern(piece.pattern, piece.position, staging.view(0, sizeBytes));
      const from = { memory: staging, offsetBytes: 0, sizeBytes };
      const to = { memory: this.#memory(contents.buffer), offsetBytes: piece.start, sizeBytes };
      await stream.copy([{ from, to }]);
    }
  }

  async #check(contents: Contents): Promise<string | null> {
    for (const piece of this.#pieces(contents)) {
      const { memory: staging, stream } = await this.#open();
      const sizeBytes = piece.end - piece.start;
      const from = { memory: this.#memory(contents.buffer), offsetBytes: piece.start, sizeBytes };
      const to = { memory: staging, offsetBytes: 0, sizeBytes };
      await stream.copy([{ from, to }]);
      const wrong = findMismatch(piece.pattern, piece.position, staging.view(0, sizeBytes));
      if (wrong === undefined) continue;
      const at = piece.start + wrong.position - piece.position;
      const place =
        piece.pattern === guardPattern
          ? `guard byte ${at} of "${contents.buffer}" was overwritten`
          : `byte ${wrong.position} of root ${piece.pattern.root}'s message, at ${at} of "${contents.buffer}", is wrong`;
      return `${place}: found ${wrong.found}, expected ${wrong.expected}`;
    }
    return null;
  }

  /** Releases every buffer. */
  async free(): Promise<void> {
    for (const memory of this.#memories.values()) memory.close();
    this.#memories.clear();
    await this.#staging?.stream.close();
    this.#staging?.memory.close();
    this.#staging = undefined;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #memory(buffer: string): Memory {
    const memory = this.#memories.get(buffer);
    if (memory === undefined) throw new TypeError(`Unknown buffer "${buffer}"`);
    return memory;
  }

  async #open(): Promise<{ memory: HostMemory; stream: Stream }> {
    this.#staging ??= {
      memory: await this.#device.allocateHost(stagingBytes),
      stream: this.#device.createStream('compliance'),
    };
    return this.#staging;
  }

  /** Cuts the buffer into its contents and the guards between them, none larger than the staging memory. */
  *#pieces({ buffer, contents = [], fromBytes, toBytes }: Contents): Generator<Piece> {
    const from = fromBytes ?? 0;
    const to = toBytes ?? this.#memory(buffer).sizeBytes;
    const guard = (start: number, end: number) => ({ start, end, pattern: guardPattern, position: start });
    const whole: Piece[] = [];
    let done = from;
    for (const { offsetBytes, sizeBytes, pattern, position = 0 } of contents) {
      whole.push(guard(done, offsetBytes));
      whole.push({ start: offsetBytes, end: offsetBytes + sizeBytes, pattern, position });
      done = offsetBytes + sizeBytes;
    }
    whole.push(guard(done, to));
    for (const { start, end, pattern, position } of whole) {
      for (let at = start; at < end; at += stagingBytes) {
        yield { start: at, end: Math.min(end, at + stagingBytes), pattern, position: position + at - start };
      }
    }
  }
}
