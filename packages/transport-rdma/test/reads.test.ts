import { closeSync, openSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHostDevice, type HostDevice, type SharedHostMemory } from '@checkpoint-engine/device';
import type { RemoteMemory } from '@checkpoint-engine/interface';
import { type RdmaEndpoint, type RdmaOptions, type RdmaTransport, rdma } from '@checkpoint-engine/transport-rdma';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { engineProcesses, isRunning, mooncakeForTests } from './support/mooncake.ts';
import { pattern } from './support/pattern.mjs';
import { killPeers, Peer } from './support/peer.ts';

const MiB = 1024 * 1024;
const { python, missing } = await mooncakeForTests();
const options: RdmaOptions = { python, protocol: 'tcp' };

describe.skipIf(missing)('reads between processes', () => {
  let device: HostDevice;
  let transport: RdmaTransport;
  let endpoint: RdmaEndpoint;
  const stopped: number[] = [];

  beforeEach(async () => {
    device = await createHostDevice();
    transport = rdma(options);
    endpoint = await transport.open({ device });
  });
  afterEach(async () => {
    for (const pid of stopped.splice(0)) if (isRunning(pid)) process.kill(pid, 'SIGCONT');
    await transport.close();
    await device.close();
    await killPeers();
    expect(engineProcesses()).toEqual([]);
  });

  /** Stops processes. A thread that runs when the signal is sent stops later, and would serve a read until then. */
  const freeze = async (pids: readonly number[]): Promise<void> => {
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    stopped.push(...pids);
    const runs = (thread: string): boolean => !/^State:\s+T/m.test(readFileSync(`${thread}/status`, 'utf8'));
    const threadsOf = (pid: number): string[] =>
      readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}`);
    await expect.poll(() => pids.flatMap(threadsOf).filter(runs)).toEqual([]);
  };
  const land = (sizeBytes: number): Promise<SharedHostMemory> => device.allocateHost(sizeBytes, { shared: true });
  const readAll = (
    peer: string,
    remote: RemoteMemory,
    memory: SharedHostMemory,
    how: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> => {
    const local = { memory, offsetBytes: 0, sizeBytes: remote.sizeBytes };
    return endpoint.read(peer, [{ remote, remoteOffsetBytes: 0, local }], how);
  };

  test('bytes arrive unchanged', async () => {
    const owner = await Peer.start(options);
    const sizeBytes = 48 * MiB + 5;
    const remote = await owner.share('weights', sizeBytes, 7);
    const memory = await land(sizeBytes);
    const peer = await owner.address();
    expect([engineProcesses().length, engineProcesses(owner.pid).length]).toEqual([0, 1]);
    await readAll(peer, remote, memory);
    expect(Buffer.compare(memory.view(0, sizeBytes), pattern(sizeBytes, 7))).toBe(0);
    // Neither starts an engine that it does not need.
    expect([engineProcesses().length, engineProcesses(owner.pid).length]).toEqual([1, 1]);
    await owner.close();
  });

  test('20,000 ranges in one batch, scattered on both sides', async () => {
    const owner = await Peer.start(options);
    const count = 20_000;
    const pieceBytes = 700;
    const sizeBytes = count * 1000;
    const remote = await owner.share('weights', sizeBytes, 3);
    const memory = await land(count * pieceBytes);
    const reads = Array.from({ length: count }, (_, i) => ({
      remote,
      remoteOffsetBytes: i * 1000,
      local: { memory, offsetBytes: (count - 1 - i) * pieceBytes, sizeBytes: pieceBytes },
    }));
    await endpoint.read(await owner.address(), reads);
    const source = pattern(sizeBytes, 3);
    const view = memory.view(0, memory.sizeBytes);
    const wrong = reads.filter(({ remoteOffsetBytes: at, local: { offsetBytes } }) =>
      Buffer.compare(view.subarray(offsetBytes, offsetBytes + pieceBytes), source.subarray(at, at + pieceBytes)),
    );
    expect(wrong.length).toBe(0);
  });

  test('no listener at the address', async () => {
    const owner = await Peer.start(options);
    const remote = await owner.share('weights', MiB, 1);
    const peer = await owner.address();
    const [engine] = engineProcesses(owner.pid);
    await owner.kill();
    const memory = await land(MiB);
    await expect(readAll(peer, remote, memory)).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE', peer });
    await expect.poll(() => isRunning(engine!)).toBe(false); // it does not outlive its owner
  });

  test('an owner that restarted on the same ports is not the requested one', async () => {
    const ports = [26_100, 26_104] as const;
    const before = await Peer.start({ ...options, ports });
    const remote = await before.share('weights', MiB, 1);
    const peer = await before.address();
    expect(Number(peer.split(':')[1])).toBeGreaterThanOrEqual(ports[0]);
    expect(Number(peer.split(':')[1])).toBeLessThan(ports[1]);
    await before.kill();
    const after = await Peer.start({ ...options, ports });
    await after.share('weights', MiB, 2);
    const memory = await land(MiB);
    await expect(readAll(peer, remote, memory)).rejects.toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED' });
    await after.close();
  });

  test('an owner that is killed during a read', async () => {
    const owner = await Peer.start(options);
    const sizeBytes = 256 * MiB;
    const remote = await owner.share('weights', sizeBytes, 1);
    const peer = await owner.address();
    const memory = await land(sizeBytes);
    await readAll(peer, remote, memory);
    // Repeated reads, so that one is running when the process is killed.
    const reading = (async () => {
      for (;;) await readAll(peer, remote, memory);
    })();
    const outcome = expect(reading).rejects.toMatchObject({
      code: expect.stringMatching(/^CE_PEER_(LOST|UNREACHABLE)$/),
    });
    await sleep(30);
    await owner.kill();
    await outcome;
  });

  test('a frozen owner: the read times out, others continue, and no late byte arrives', async () => {
    const [frozen, other] = await Promise.all([Peer.start(options), Peer.start(options)]);
    const sizeBytes = 64 * MiB;
    const remote = await frozen.share('weights', sizeBytes, 1);
    const memory = await land(sizeBytes);
    await readAll(await frozen.address(), remote, memory);
    const otherRemote = await other.share('weights', sizeBytes, 2);
    await freeze(engineProcesses(frozen.pid));

    const start = performance.now();
    const late = expect(readAll(await frozen.address(), remote, memory, { timeoutMs: 1500 })).rejects.toMatchObject({
      code: 'CE_TIMEOUT',
    });
    const digests = [];
    while (performance.now() - start < 3000) {
      const into = await land(sizeBytes);
      await readAll(await other.address(), otherRemote, into);
      digests.push(Buffer.compare(into.view(0, sizeBytes), pattern(sizeBytes, 2)));
      into.close();
    }
    await late;
    expect(new Set(digests)).toEqual(new Set([0]));

    memory.view(0, sizeBytes).fill(0xaa);
    for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
    await sleep(500);
    expect(memory.view(0, sizeBytes).every((byte) => byte === 0xaa)).toBe(true);
    await readAll(await frozen.address(), remote, memory);
    expect(Buffer.compare(memory.view(0, sizeBytes), pattern(sizeBytes, 1))).toBe(0);
  });

  test('a signal ends a stuck read', async () => {
    const owner = await Peer.start(options);
    const remote = await owner.share('weights', 64 * MiB, 1);
    const memory = await land(64 * MiB);
    await readAll(await owner.address(), remote, memory);
    await freeze(engineProcesses(owner.pid));
    const aborting = new AbortController();
    const reading = readAll(await owner.address(), remote, memory, { signal: aborting.signal });
    const outcome = expect(reading).rejects.toMatchObject({ code: 'CE_ABORTED', cause: 'enough' });
    await sleep(300);
    aborting.abort('enough');
    await outcome; // the engine is still frozen
  });

  test('closing ends a stuck read', async () => {
    const owner = await Peer.start(options);
    const remote = await owner.share('weights', 64 * MiB, 1);
    const memory = await land(64 * MiB);
    await readAll(await owner.address(), remote, memory);
    await freeze(engineProcesses(owner.pid));
    const outcome = expect(readAll(await owner.address(), remote, memory)).rejects.toMatchObject({ code: 'CE_CLOSED' });
    await sleep(200);
    await endpoint.close();
    await outcome;
  });

  test('withdrawing a range waits for its readers with a time limit, and then fails their reads', async () => {
    const owner = await Peer.start({ ...options, drainTimeoutMs: 1500 });
    const remote = await owner.share('weights', 64 * MiB, 1);
    const peer = await owner.address();
    const memory = await land(64 * MiB);
    await readAll(peer, remote, memory);
    const before = engineProcesses(owner.pid);
    await freeze(engineProcesses().filter((pid) => !before.includes(pid)));
    const outcome = expect(readAll(peer, remote, memory)).rejects.toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED' });
    await sleep(1000); // The owner must have registered the read.
    const tookMs = await owner.unregister('weights');
    expect(tookMs).toBeGreaterThan(1400);
    expect(tookMs).toBeLessThan(9000); // 10 s by default
    for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
    await outcome;
  });

  test('an engine that dies loses its ranges, and nothing else', async () => {
    const owner = await Peer.start(options);
    const remote = await owner.share('weights', MiB, 1);
    const peer = await owner.address();
    const memory = await land(MiB);
    await readAll(peer, remote, memory);
    const own = await endpoint.register({ memory, offsetBytes: 0, sizeBytes: MiB });

    for (const pid of engineProcesses()) process.kill(pid, 'SIGKILL');
    await readAll(peer, remote, memory); // with a new engine
    const range = { memory, offsetBytes: 0, sizeBytes: MiB };
    await expect(endpoint.register(range)).rejects.toMatchObject({ code: 'CE_TRANSPORT_FAILED' });
    const into = await land(MiB);
    await expect(readAll(await endpoint.address(), own.remote, into)).rejects.toMatchObject({
      code: 'CE_RANGE_NOT_REGISTERED',
    });
  });

  test('both sides check the token', async () => {
    const owner = await Peer.start({ ...options, token: 'a' });
    const remote = await owner.share('weights', MiB, 1);
    const peer = await owner.address();
    const memory = await land(MiB);
    await expect(readAll(peer, remote, memory)).rejects.toMatchObject({ code: 'CE_TOKEN_REFUSED' });
    const friend = await Peer.start({ ...options, token: 'a' });
    await friend.read(peer, remote);
    const other = await Peer.start({ ...options, token: 'b' });
    await expect(other.read(peer, remote)).rejects.toMatchObject({ code: 'CE_TOKEN_REFUSED' });
    const guesser = await Peer.start({ ...options, token: 'a' });
    const guess = { ...remote, key: remote.key.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')) };
    await expect(guesser.read(peer, guess)).rejects.toMatchObject({ code: 'CE_TOKEN_REFUSED' });
  });

  test('memory that belongs to this process alone is refused', async () => {
    const memory = await device.allocateHost(MiB);
    const range = { memory, offsetBytes: 0, sizeBytes: MiB };
    await expect(endpoint.register(range)).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
  });

  test('a range at an odd offset, read by its own process too', async () => {
    const memory = await land(2 * MiB);
    memory.view(0, 2 * MiB).set(pattern(2 * MiB, 5));
    const { remote } = await endpoint.register({ memory, offsetBytes: 1001, sizeBytes: MiB });
    const into = await land(MiB);
    await readAll(await endpoint.address(), remote, into);
    expect(Buffer.compare(into.view(0, MiB), pattern(2 * MiB, 5).subarray(1001, 1001 + MiB))).toBe(0);
  });

  test.skipIf(!mayOpenNamelessFiles())('memory whose file has no name any more', async () => {
    const memory = await land(MiB);
    memory.view(0, MiB).set(pattern(MiB, 6));
    unlinkSync(`/dev/shm/${Buffer.from(memory.handle).toString()}`);
    const { remote } = await endpoint.register({ memory, offsetBytes: 0, sizeBytes: MiB });
    const into = await land(MiB);
    await readAll(await endpoint.address(), remote, into);
    expect(Buffer.compare(into.view(0, MiB), pattern(MiB, 6))).toBe(0);
  });
});

/** The kernel lets only privileged processes open mapped files. */
function mayOpenNamelessFiles(): boolean {
  try {
    const [first] = readdirSync('/proc/self/map_files');
    closeSync(openSync(`/proc/self/map_files/${first}`, 'r'));
    return true;
  } catch {
    console.warn('A test of unlinked memory is skipped: this process may not open /proc/self/map_files');
    return false;
  }
}
