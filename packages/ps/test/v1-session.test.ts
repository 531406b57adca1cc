import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { SharedMemory } from '@checkpoint-engine/interface';
import { afterEach, describe, expect, it } from 'vitest';
import type { BucketMessage, WorkerSession } from '../src/session.ts';
import type { V1Options } from '../src/v1/index.ts';
import { v1Protocol } from '../src/v1/index.ts';
import { python, reasonToSkip, scriptPath } from './v1-python.ts';

const reason = reasonToSkip('zmq');
const never = new AbortController().signal;
const call = { signal: never };
const handle = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
const buffer: SharedMemory = {
  kind: 'device',
  address: 1n,
  sizeBytes: 2 ** 33,
  handle,
  close: () => {},
  [Symbol.dispose]: () => {},
};

type Event = { event: string } & Record<string, unknown>;

/** A Python worker in its own process, and what happened to it. */
class Peer {
  readonly events: Event[] = [];
  readonly exited: Promise<unknown>;
  readonly #child: ChildProcess;
  #onEvent: () => void = () => {};

  constructor(address: string, faults: object = {}) {
    this.#child = spawn(python, [scriptPath('v1-peer.py'), address, JSON.stringify(faults)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.exited = once(this.#child, 'close');
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line) as Event);
      this.#onEvent();
    });
  }

  async saw(event: string, times = 1): Promise<void> {
    while (this.events.filter((seen) => seen.event === event).length < times) {
      await new Promise<void>((resolve) => {
        this.#onEvent = resolve;
      });
    }
  }

  get names(): string[] {
    return this.events.map(({ event }) => event);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

const open: (WorkerSession | Peer)[] = [];
let counter = 0;
const warnings: string[] = [];

async function start(
  faults: object | undefined,
  { timeoutMs = 20_000, ...v1 }: V1Options & { timeoutMs?: number } = {},
) {
  const warn = (_: object, message: string): void => void warnings.push(message);
  const session = await v1Protocol(v1).createSession({
    deviceKind: 'cuda',
    deviceUuid: `GPU-test-${process.pid}`,
    updateId: 'update',
    counter: counter++,
    rank: 3,
    slots: 2,
    checkpoint: 'test',
    timeoutMs,
    logger: { debug: warn, info: warn, warn, error: warn },
  });
  open.push(session);
  const peer = faults && new Peer(session.address, faults);
  if (peer) open.push(peer);
  return { session, peer: peer! };
}

afterEach(async () => {
  for (const item of open.splice(0)) {
    if (item instanceof Peer) item.kill();
    else await item.close();
  }
  warnings.splice(0);
});

function bucket(index: number): BucketMessage {
  return {
    index,
    tensors: [
      { name: `layer.${index}.weight`, dtype: 'BF16', shape: [2, 3], offsetBytes: 256 * index, sizeBytes: 12 },
      { name: `layer.${index}.packed`, dtype: 'F4', shape: [2, 8], offsetBytes: 2 ** 32 + 256 * index, sizeBytes: 8 },
    ],
  };
}

const told = 'checkpoint-engine: the update failed: rank 1 lost its engine';
const failure = new Error('rank 1 lost its engine');

describe.skipIf(reason)(`v1 sessions with a Python worker${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it('run handshake, buckets, release and hook', async () => {
    const { session, peer } = await start({});
    const phases: string[] = [];
    expect(session.address).toBe(`ipc://@checkpoint-engine-GPU-test-${process.pid}-${counter - 1}.sock`);
    await session.open(buffer, call);
    for (let index = 0; index < 20; index++) await session.reload(bucket(index), call);
    await session.finish({ ...call, onPhase: (phase) => phases.push(phase) });
    await session.fail(failure); // no longer has an effect
    await peer.exited;
    expect(phases).toEqual(['released', 'loaded']);
    expect(peer.events[1]).toEqual({ event: 'open', handle: Buffer.from(handle).toString('hex'), size: 2 ** 33 });
    expect(peer.events[4]).toEqual({
      event: 'bucket',
      tensors: [
        ['layer.2.weight', 'bfloat16', [2, 3], 512],
        ['layer.2.packed', 'float4_e2m1fn_x2', [2, 4], 2 ** 32 + 512],
      ],
    });
    expect(peer.names.slice(-3)).toEqual(['release', 'hook', 'end']);
  });

  it('report a refused buffer, and send the one message that the worker then waits for', async () => {
    const { session, peer } = await start({ open: 'CUDA error: invalid argument' });
    await expect(session.open(buffer, call)).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringMatching(/failed to open the buffer: RuntimeError: CUDA error: invalid argument$/),
      detail: expect.stringContaining('Traceback (most recent call last)'),
      rank: 3,
      peer: session.address,
    });
    await session.fail(failure);
    await peer.exited;
    expect(peer.names).toEqual(['connected', 'raised']);
  });

  it('report a traceback of load_weights, and make the worker raise', async () => {
    const { session, peer } = await start({ raise_at: 1 });
    await session.open(buffer, call);
    await session.reload(bucket(0), call);
    await expect(session.reload(bucket(1), call)).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('failed to take bucket 1'),
      detail: expect.stringContaining('ValueError: bad tensor\nsecond line'),
      rank: 3,
    });
    await session.fail(failure);
    await peer.exited;
    expect(peer.events.at(-1)).toEqual({ event: 'raised', type: 'RuntimeError', text: told });
  });

  it('do not read the pickles of old workers', async () => {
    const { session } = await start({ raise_at: 0, pickled: true });
    await session.open(buffer, call);
    await expect(session.reload(bucket(0), call)).rejects.toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
  });

  it('detect at once that the worker died', async () => {
    const { session } = await start({ die_at: 1 });
    await session.open(buffer, call);
    await session.reload(bucket(0), call);
    await expect(session.reload(bucket(1), call)).rejects.toMatchObject({ code: 'CE_WORKER_LOST', rank: 3 });
    await expect(session.reload(bucket(2), call)).rejects.toMatchObject({ code: 'CE_WORKER_LOST' });
    await session.fail(failure);
    expect(warnings).toEqual([]); // it logs a warning if it has waited for its complete grace time
  });

  it('detect that the post-load hook raised', async () => {
    const { session, peer } = await start({ hook: 'no kernel for this' });
    await session.open(buffer, call);
    const phases: string[] = [];
    const finished = session.finish({ ...call, onPhase: (phase) => phases.push(phase) });
    await expect(finished).rejects.toMatchObject({ code: 'CE_WORKER_LOST', op: 'run its post-load hook' });
    await peer.exited;
    expect(phases).toEqual(['released']);
    expect(peer.events.at(-1)).toMatchObject({ event: 'raised', text: 'no kernel for this' });
  });

  it('end with the release for workers of releases before 0.4.0', async () => {
    const { session, peer } = await start({ old: true }, { endsOnRelease: true });
    await session.open(buffer, call);
    await session.finish(call);
    await peer.exited;
    expect(peer.names).toEqual(['connected', 'open', 'release', 'end']);
  });

  it.each(['resolves', 'rejects'])(
    'end with the release of workers that are not known to be old where the answer %s',
    async (how) => {
      const { session, peer } = await start({ old: true });
      await session.open(buffer, call);
      const answer = peer.exited.then(() => (how === 'resolves' ? undefined : Promise.reject(failure)));
      answer.catch(() => {});
      const finished = session.finish({ ...call, answer });
      if (how === 'resolves') await finished;
      else await expect(finished).rejects.toMatchObject({ code: 'CE_WORKER_LOST', op: 'run its post-load hook' });
      expect(peer.names).toEqual(['connected', 'open', 'release', 'end']);
    },
  );

  it('notify a busy worker when it is ready, and drop its late reply', async () => {
    const { session, peer } = await start({ sleep_at: 1, sleep: 1.5 });
    await session.open(buffer, call);
    await session.reload(bucket(0), call);
    const controller = new AbortController();
    const reload = session.reload(bucket(1), { signal: controller.signal });
    setTimeout(() => controller.abort(failure), 100);
    await expect(reload).rejects.toMatchObject({ code: 'CE_ABORTED', cause: failure });
    await session.fail(failure); // waits until the worker is gone
    await session.close();
    await peer.exited;
    expect(peer.names).toEqual(['connected', 'open', 'bucket', 'bucket', 'raised']);
    expect(peer.events.at(-1)).toMatchObject({ text: told });
    expect(warnings).toEqual([]);
  });

  it('notify a worker that is busy for longer than the grace time', async () => {
    const { session, peer } = await start({ sleep_at: 0, sleep: 2 }, { failGraceMs: 200 });
    await session.open(buffer, call);
    await expect(session.reload(bucket(0), { signal: AbortSignal.timeout(100) })).rejects.toThrow();
    await session.fail(failure);
    await session.close();
    await peer.exited;
    expect(peer.events.at(-1)).toMatchObject({ event: 'raised', text: told });
    expect(warnings).toHaveLength(1);
  });

  it('time out on a worker that hangs, and name the bucket', async () => {
    const { session } = await start({ sleep_at: 0, sleep: 30 }, { timeoutMs: 2_000, failGraceMs: 100 });
    await session.open(buffer, call);
    await expect(session.reload(bucket(0), call)).rejects.toMatchObject({
      code: 'CE_WORKER_TIMEOUT',
      message: expect.stringContaining('did not take bucket 0 within 2000 ms'),
    });
  });

  it('notify a worker that connects only after the failure', async () => {
    const { session, peer } = await start({ late: 1 }, { failGraceMs: 20_000 });
    await expect(session.open(buffer, { signal: AbortSignal.timeout(50) })).rejects.toThrow();
    await session.fail(failure);
    await session.close();
    await peer.exited;
    expect(peer.names).toEqual(['connected', 'raised']);
    expect(peer.events[1]).toMatchObject({ type: 'AssertionError', text: told });
  });

  it('serve the same address again for a draft model', async () => {
    const { session, peer } = await start({ sessions: 3 });
    for (let pass = 0; pass < 3; pass++) {
      if (pass > 0) await session.reopen!();
      await session.open(buffer, call);
      await session.reload(bucket(pass), call);
      await session.finish(call);
    }
    await peer.exited;
    expect(peer.names.filter((name) => name === 'hook')).toHaveLength(3);
  });

  it('keep an old worker away from a new update', async () => {
    const stale = await start({});
    await stale.peer.saw('connected');
    await stale.session.close();
    const { session, peer } = await start({});
    await session.open(buffer, call);
    await session.finish(call);
    await peer.exited;
    expect(stale.peer.names).toEqual(['connected']);
  });

  it('send 8,192 tensors in one bucket', async () => {
    const { session, peer } = await start({});
    const tensors = Array.from({ length: 8192 }, (_, i) => ({
      ...bucket(i).tensors[0]!,
      name: `${'n'.repeat(90)}${i}`,
    }));
    await session.open(buffer, call);
    await session.reload({ index: 0, tensors }, call);
    await session.finish(call);
    await peer.exited;
    expect(peer.events[2]!.tensors).toHaveLength(8192);
  });
});

describe('v1 sessions without a worker', () => {
  it('time out and report what to check', async () => {
    const { session } = await start(undefined, { timeoutMs: 100 });
    await expect(session.open(buffer, call)).rejects.toMatchObject({
      code: 'CE_WORKER_TIMEOUT',
      message: expect.stringContaining('did not connect within 100 ms'),
      hint: expect.stringContaining('--ipc=host'),
    });
  });

  it('fail at once if no worker was expected, and within the grace time if one was', async () => {
    const { session } = await start(undefined, { failGraceMs: 300 });
    await session.fail(failure);
    expect(warnings).toEqual([]); // it logs a warning if it has waited
    await expect(session.open(buffer, { signal: AbortSignal.abort(failure) })).rejects.toMatchObject({
      cause: failure,
    });
    const startedAt = performance.now();
    await session.fail(failure);
    expect(performance.now() - startedAt).toBeGreaterThan(250);
    expect(warnings).toHaveLength(1);
  });

  it('refuse handles that are not CUDA handles', async () => {
    const { session } = await start(undefined);
    const host = { ...buffer, handle: new Uint8Array(20) };
    await expect(session.open(host, call)).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
  });

  it('name the address that is in use, and distinguish ranks on one device', async () => {
    const options = {
      deviceKind: 'cuda',
      deviceUuid: `GPU-taken-${process.pid}`,
      updateId: 'update',
      counter: 0,
      slots: 2,
      checkpoint: 'test',
      timeoutMs: 100,
      logger: console,
    };
    const protocol = v1Protocol();
    const first = await protocol.createSession({ ...options, rank: 0 });
    open.push(first);
    await expect(protocol.createSession({ ...options, rank: 0 })).rejects.toMatchObject({ code: 'CE_ADDRESS_IN_USE' });
    for (const rank of [0, 1]) {
      const session = await protocol.createSession({ ...options, rank, rankInAddress: true });
      open.push(session);
      expect(session.address).toBe(`ipc://@checkpoint-engine-GPU-taken-${process.pid}-0-r${rank}.sock`);
    }
    await first.close();
    await first.close();
    await expect(first.open(buffer, call)).rejects.toMatchObject({ code: 'CE_CLOSED' });
  });
});
