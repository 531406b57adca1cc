import { readFileSync } from 'node:fs';
import { createHostDevice, type HostDevice, type SharedHostMemory } from '@checkpoint-engine/device';
import type { HostMemory, ServerWelcome } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mapBuffer } from '../src/mapped-buffer.ts';

const SIZE_BYTES = 64 * 2 ** 10;
let server: HostDevice;
let device: HostDevice;
let ring: SharedHostMemory;

beforeEach(async () => {
  server = await createHostDevice();
  device = await createHostDevice();
  ring = await server.allocateShared(SIZE_BYTES);
});
afterEach(async () => {
  await device.close();
  await server.close();
});

const welcome = (from: SharedHostMemory, bufferStays?: boolean): ServerWelcome => ({
  type: 'welcome',
  protocol: 2,
  checkpoint: 'a',
  updateId: 'a:1',
  rank: 0,
  deviceKind: 'host',
  deviceUuid: device.uuid,
  handle: from.handle,
  sizeBytes: SIZE_BYTES,
  slots: 1,
  bufferStays,
});

/** Number of mappings of the ring in this process, including the server's. Unmapping continues in the background. */
const mappings = (of: SharedHostMemory): number =>
  readFileSync('/proc/self/maps', 'utf8').split(new TextDecoder().decode(of.handle)).length - 1;
const unmapped = (of: SharedHostMemory): Promise<void> => expect.poll(() => mappings(of)).toBe(1);

describe('mapBuffer', () => {
  it('keeps the mapping of a buffer that stays, and passes it to the next update', async () => {
    const first = await mapBuffer(device, welcome(ring, true));
    first.close(true);
    expect(mappings(ring)).toBe(2);
    const second = await mapBuffer(device, welcome(ring, true));
    expect(second.memory).toBe(first.memory);
    second.close(true);
    second.close(false);
    expect(mappings(ring)).toBe(2);
  });

  it.each([
    { what: 'the update failed', stays: true, isSound: false },
    { what: 'the buffer does not stay', stays: false, isSound: true },
    { what: 'the server does not say that it stays', stays: undefined, isSound: true },
  ])('unmaps it if $what', async ({ stays, isSound }) => {
    const buffer = await mapBuffer(device, welcome(ring, stays));
    buffer.close(isSound);
    await unmapped(ring);
  });

  it('unmaps it when another one comes', async () => {
    (await mapBuffer(device, welcome(ring, true))).close(true);
    const another = await server.allocateShared(SIZE_BYTES);
    (await mapBuffer(device, welcome(another, true))).close(true);
    await unmapped(ring);
    expect(mappings(another)).toBe(2);
  });

  it('unmaps it when no update comes for a while', async () => {
    (await mapBuffer(device, welcome(ring, true), 20)).close(true);
    await unmapped(ring);
    const again = await mapBuffer(device, welcome(ring, true));
    expect(new Uint8Array((again.memory as HostMemory).view(0, 1))).toEqual(Uint8Array.of(0));
  });
});
