import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HostDevice, SharedHostMemory } from '@checkpoint-engine/device';
import { silentLogger } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import type { BucketMessage, SessionOptions, WorkerSession } from '../src/session.ts';
import { v2Protocol } from '../src/v2/protocol.ts';

export const never: AbortSignal = new AbortController().signal;
export const call = { signal: never };

/** A tensor that a test sends. */
export interface TestTensor {
  readonly name: string;
  readonly dtype: 'F32' | 'BF16' | 'I64' | 'F8_E4M3' | 'U8';
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const ITEM_BYTES = { F32: 4, BF16: 2, I64: 8, F8_E4M3: 1, U8: 1 };

/** A tensor whose bytes follow from its name and the seed. */
export function testTensor(
  name: string,
  shape: readonly number[] = [16],
  dtype: TestTensor['dtype'] = 'F32',
  seed = 0,
): TestTensor {
  const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 1) * ITEM_BYTES[dtype]);
  let state = [...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), seed + 1);
  for (let at = 0; at < bytes.length; at += 1) {
    state = Math.imul(state, 1664525) + 1013904223;
    bytes[at] = state >>> 24;
  }
  return { name, dtype, shape, bytes };
}

export const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 by name, as `CopyingWorker.digests` gives them. */
export function digestsOf(buckets: readonly (readonly TestTensor[])[]): Record<string, string> {
  return Object.fromEntries(buckets.flat().map((tensor) => [tensor.name, digestOf(tensor.bytes)]));
}

export function sessionOptions(
  device: { kind?: string; uuid: string },
  options: Partial<SessionOptions> = {},
): SessionOptions {
  return {
    deviceKind: device.kind ?? 'host',
    deviceUuid: device.uuid,
    updateId: 'update-7',
    counter: 7,
    rank: 3,
    slots: 2,
    checkpoint: 'test',
    timeoutMs: 20_000,
    logger: silentLogger,
    ...options,
  };
}

export function createSession(
  device: { kind?: string; uuid: string },
  options: Partial<SessionOptions> = {},
): Promise<WorkerSession> {
  return v2Protocol().createSession(sessionOptions(device, options));
}

/** Sends buckets through a ring in shared memory, as an update pipeline does. */
export class Sender {
  readonly buffer: SharedHostMemory;
  readonly session: WorkerSession;
  readonly #slots: number;
  readonly #slotBytes: number;

  private constructor(buffer: SharedHostMemory, session: WorkerSession, slots: number) {
    this.buffer = buffer;
    this.session = session;
    this.#slots = slots;
    this.#slotBytes = buffer.sizeBytes / slots;
  }

  static async create(device: HostDevice, slotBytes: number, options: Partial<SessionOptions> = {}): Promise<Sender> {
    const { slots } = sessionOptions(device, options);
    const buffer = await device.allocateShared(slotBytes * slots);
    return new Sender(buffer, await createSession(device, options), slots);
  }

  /** Writes a bucket into a slot, and returns the message for the worker. */
  async place(index: number, tensors: readonly TestTensor[], slot = index % this.#slots): Promise<BucketMessage> {
    const staged = new Uint8Array(this.#slotBytes);
    let at = 0;
    const placed = tensors.map(({ name, dtype, shape, bytes }) => {
      const offsetBytes = slot * this.#slotBytes + at;
      staged.set(bytes, at);
      at += Math.ceil(bytes.length / 256) * 256;
      return { name, dtype, shape, offsetBytes, sizeBytes: bytes.length };
    });
    await this.buffer.write(slot * this.#slotBytes, staged);
    return { index, tensors: placed };
  }

  /** Handshake, all buckets with every slot in flight, release, hook, and the version where the worker keeps one. */
  async send(buckets: readonly (readonly TestTensor[])[], version = 'v1'): Promise<void> {
    await this.session.open(this.buffer, call);
    const slots: Promise<void>[] = [];
    for (const [index, tensors] of buckets.entries()) {
      await slots[index % this.#slots];
      const message = await this.place(index, tensors);
      const reload = this.session.reload(message, call);
      reload.catch(() => {});
      slots[index % this.#slots] = reload;
    }
    await Promise.all(slots);
    await this.session.finish(call);
    await this.session.confirm!(version, call);
  }

  async close(): Promise<void> {
    await this.session.close();
    this.buffer.close();
  }
}

export type Event = { event: string } & Record<string, unknown>;

/** A process of a test that reports events as JSON lines. */
export class Peer {
  readonly events: Event[] = [];
  readonly exited: Promise<unknown>;
  readonly child: ChildProcess;
  #onEvent: () => void = () => {};
  #isOver = false;

  constructor(script: string, args: readonly string[], command: readonly string[] = [process.execPath]) {
    const [program, ...flags] = command;
    const path = fileURLToPath(new URL(script, import.meta.url));
    this.child = spawn(program!, [...flags, path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = once(this.child, 'close');
    this.child.once('close', () => {
      this.#isOver = true;
      this.#onEvent();
    });
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line) as Event);
      this.#onEvent();
    });
  }

  /** Resolves with the first event of this name. */
  async event(name: string): Promise<Event> {
    for (;;) {
      const found = this.events.find(({ event }) => event === name);
      if (found) return found;
      if (this.#isOver) throw new Error(`The process ended without "${name}"`);
      await new Promise<void>((resolve) => {
        this.#onEvent = resolve;
      });
    }
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

/** A peer at an address, which sends what the test specifies. */
export class RawCaller {
  readonly socket: Socket;
  readonly key: string;
  readonly received: Record<string, unknown>[] = [];
  readonly closed: Promise<unknown>;

  constructor(address: string) {
    const [, name, key] = /^ce2:(.+)\?key=(.+)$/.exec(address)!;
    this.key = key!;
    this.socket = connect({ path: `\0${name}` });
    this.socket.on('error', () => {});
    this.closed = once(this.socket, 'close');
    let held = new Uint8Array();
    this.socket.on('data', (chunk: Uint8Array) => {
      held = Uint8Array.from([...held, ...chunk]);
      for (;;) {
        if (held.length < 4) return;
        const end = 4 + new DataView(held.buffer).getUint32(0, true);
        if (held.length < end) return;
        this.received.push(decode(held.subarray(4, end)) as Record<string, unknown>);
        held = held.slice(end);
      }
    });
  }

  say(message: object): void {
    const payload = encode(message);
    const frame = new Uint8Array(4 + payload.length);
    new DataView(frame.buffer).setUint32(0, payload.length, true);
    frame.set(payload, 4);
    this.socket.write(frame);
  }

  hello(fields: object = {}): void {
    this.say({ type: 'hello', protocol: 2, key: this.key, pid: process.pid, ...fields });
  }

  /** Waits until this many messages came in. */
  async messages(count: number): Promise<Record<string, unknown>[]> {
    while (this.received.length < count) await once(this.socket, 'data');
    return this.received;
  }
}
