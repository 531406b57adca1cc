import { connect, type Socket } from 'node:net';
import { decode, encode } from '@msgpack/msgpack';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenReportInbox, openReportInbox } from '../src/index.ts';

const HELLO = { type: 'hello', protocol: 2, pid: 1, pull: { version: 1, reports: true } };
const STATE = { weights: 'loaded', checkpoint: 'step-7', package: 'checkpoint-engine-worker', version: '0.3.0' };

/** A worker that only sends reports. */
class Worker {
  readonly closed: Promise<unknown>;
  readonly #socket: Socket;
  #received = new Uint8Array(0);

  constructor(address: string, hello: object = {}) {
    const [, name, key] = /^ce2:([^?]+)\?key=([0-9a-f]+)$/.exec(address)!;
    this.#socket = connect({ path: `\0${name}` });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk: Uint8Array) => {
      this.#received = Uint8Array.from([...this.#received, ...chunk]);
    });
    this.closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.send({ ...HELLO, key, ...hello });
  }

  send(message: object): void {
    const payload = encode(message);
    const frame = new Uint8Array(4 + payload.byteLength);
    new DataView(frame.buffer).setUint32(0, payload.byteLength, true);
    frame.set(payload, 4);
    this.#socket.write(frame);
  }

  /** Types of the messages that have come. */
  get heard(): string[] {
    const types: string[] = [];
    for (let at = 0; at < this.#received.length; ) {
      const size = new DataView(this.#received.buffer).getUint32(at, true);
      types.push((decode(this.#received.subarray(at + 4, at + 4 + size)) as { type: string }).type);
      at += 4 + size;
    }
    return types;
  }
}

describe('openReportInbox', () => {
  let inbox: OpenReportInbox;
  beforeEach(async () => {
    inbox = await openReportInbox();
  });
  afterEach(() => inbox.close());

  it('receives the reports of several workers', async () => {
    const decided = { recorded: true, proved: true, engine: 'vllm', summary: { modules: 3 } };
    const workers = [
      [STATE, decided],
      [STATE, { recorded: false, proved: false, engine: '', pulls: false }],
    ].map(([state, pull]) => {
      const worker = new Worker(inbox.address);
      worker.send({ type: 'reported', ...state, ...pull });
      return worker;
    });
    await Promise.all(workers.map(({ closed }) => closed));
    expect(workers.map(({ heard }) => heard)).toEqual([
      ['report', 'bye'],
      ['report', 'bye'],
    ]);
    expect(inbox.reports).toHaveLength(2);
    expect(inbox.reports).toEqual(
      expect.arrayContaining([
        { ...STATE, pull: decided },
        { ...STATE, pull: null },
      ]),
    );
  });

  it.each([
    ['another key', { key: 'ab'.repeat(32) }, {}],
    ['no reports', { pull: { version: 1 } }, {}],
    ['no pull at all', { pull: undefined }, {}],
    ['another message', {}, { type: 'surveyed' }],
    ['an error', {}, { type: 'error', error: {} }],
    ['a message without a type', {}, { none: 1 }],
  ])('ignores a worker with %s', async (_, hello, message) => {
    const worker = new Worker(inbox.address, hello);
    worker.send(message);
    await worker.closed;
    expect(inbox.reports).toEqual([]);
    expect(worker.heard).not.toContain('bye');
  });

  it('ends with all of its workers, more than once', async () => {
    const worker = new Worker(inbox.address);
    await expect.poll(() => worker.heard).toEqual(['report']);
    await inbox.close();
    await inbox.close();
    await worker.closed;
    const late = new Worker(inbox.address);
    await late.closed;
    expect(inbox.reports).toEqual([]);
  });
});
