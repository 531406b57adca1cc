import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { registerGroups } from '../suite/register-groups.ts';
import { within } from '../suite/within.ts';
import { type DevicePeer, localPeer, processPeer } from './device-peer.ts';
import type { DeviceSubject, DeviceSuiteOptions } from './device-suite-options.ts';
import { copyTests } from './groups/copies.ts';
import { fileTests } from './groups/files.ts';
import { lifecycleTests } from './groups/lifecycle.ts';
import { manifestTests } from './groups/manifest.ts';
import { memoryTests } from './groups/memory.ts';
import { sharingTests } from './groups/sharing.ts';

/** Registers the tests that every `Device` must pass. Each test opens a new device. */
export function deviceSuite(options: DeviceSuiteOptions): void {
  const { runner, name, skip, open, peer, patienceMs = 60_000 } = options;
  const run = async (test: (subject: DeviceSubject) => Promise<void>): Promise<void> => {
    const device = await within(patienceMs, 'opening the device', open());
    const folder = mkdtempSync(join(tmpdir(), 'ce-device-suite-'));
    const peers: DevicePeer[] = [];
    const startPeer = async (): Promise<DevicePeer> => {
      const started = peer === undefined ? localPeer(await open()) : processPeer(peer);
      peers.push(started);
      return started;
    };
    try {
      await within(patienceMs, 'the test', test({ device, folder, startPeer }));
    } finally {
      rmSync(folder, { recursive: true });
      const closing = [...peers, device].map((each) => each.close());
      await within(patienceMs, 'closing the device', Promise.all(closing));
    }
  };
  registerGroups({
    runner,
    suiteName: `device ${name}`,
    skip,
    run,
    groups: [manifestTests(), memoryTests(), copyTests(), fileTests(), sharingTests(), lifecycleTests()],
  });
}
