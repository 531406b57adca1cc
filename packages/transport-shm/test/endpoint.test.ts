import { createHostDevice } from '@checkpoint-engine/device';
import type { Device, P2PEndpoint } from '@checkpoint-engine/interface';
import { shmP2P } from '@checkpoint-engine/transport-shm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { all } from './world.ts';

let device: Device;
let owner: P2PEndpoint;

/** A device whose copies start when the test allows it. */
function slowDevice(gate: Promise<void>, onCopy: () => void = () => {}): Device {
  return {
    kind: device.kind,
    openShared: (handle: Uint8Array, sizeBytes: number) => device.openShared(handle, sizeBytes),
    createStream: (name: string) => {
      const stream = device.createStream(name);
      const copy: typeof stream.copy = (copies) => {
        onCopy();
        return gate.then(() => stream.copy(copies));
      };
      return { name, copy, close: () => stream.close() };
    },
  } as Partial<Device> as Device;
}

function newGate() {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { gate, open };
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (await Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 50, pending))])) === pending;
}

/** A registered memory of ones, a reader with slow copies, and its read that is in progress. */
async function slowRead(unregisterTimeoutMs: number) {
  const transport = shmP2P({ unregisterTimeoutMs });
  owner = await transport.open({ device });
  const shared = await device.allocateShared(1000);
  const registration = await owner.register({ memory: shared, offsetBytes: 0, sizeBytes: 1000 });
  const { gate, open } = newGate();
  const { gate: copying, open: onCopy } = newGate();
  const reader = await shmP2P().open({ device: slowDevice(gate, onCopy) });
  const local = await device.allocateHost(1000);
  const reads = [{ remote: registration.remote, remoteOffsetBytes: 0, local: all(local) }];
  const read = reader.read(await owner.address(), reads);
  await Promise.race([copying, read]);
  expect(await isPending(read)).toBe(true);
  return { registration, reader, read, reads, open, local };
}

beforeEach(async () => {
  device = await createHostDevice();
});

afterEach(async () => {
  await owner.close();
  await device.close();
});

describe('Registration.close', () => {
  it('waits for a pending read, and refuses new ones', async () => {
    const { registration, reader, read, reads, open } = await slowRead(10_000);
    const closing = registration.close();
    expect(await isPending(closing)).toBe(true);
    await expect(reader.read(await owner.address(), reads)).rejects.toMatchObject({ code: 'CE_RANGE_NOT_REGISTERED' });
    open();
    await Promise.all([read, closing]);
    await reader.close();
  });

  it('waits at most for the given time, and then the read fails', async () => {
    const { registration, reader, read, open } = await slowRead(100);
    const failed = expect(read).rejects.toMatchObject({ code: 'CE_PEER_LOST' });
    await registration.close();
    await failed;
    open();
    await reader.close();
  });
});

describe('P2PEndpoint.read', () => {
  it('times out, and keeps its lease until the copy has ended', async () => {
    const { registration, reader, read, reads, open } = await slowRead(10_000);
    await expect(reader.read(await owner.address(), reads, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'CE_TIMEOUT',
    });
    const closing = registration.close();
    expect(await isPending(closing)).toBe(true);
    open();
    await Promise.all([read, closing]);
    await reader.close();
  });

  it('fails when its own endpoint is closed', async () => {
    const { reader, read, open } = await slowRead(10_000);
    const failed = expect(read).rejects.toMatchObject({ code: 'CE_CLOSED' });
    const closing = reader.close();
    await failed;
    open();
    await closing;
  });

  it('refuses memory that peers cannot open', async () => {
    owner = await shmP2P().open({ device });
    const own = all(await device.allocateHost(1000));
    await expect(owner.register(own)).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
  });
});
