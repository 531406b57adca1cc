import type { Device } from '@checkpoint-engine/interface';
import type { Runner, Skip } from '../suite/runner.ts';
import type { DevicePeer } from './device-peer.ts';

/** Options of {@link deviceSuite}. */
export interface DeviceSuiteOptions {
  readonly runner: Runner;
  /** The device's name, for the suite's title. */
  readonly name: string;
  /** Opens the device, in this process. The suite closes it; each test opens it anew. */
  readonly open: () => Promise<Device>;
  /**
   * A module that exports `open`, a function like this one: a process of its own opens with it what this process shares.
   * @default memory is opened by a second device of this process
   */
  readonly peer?: URL | undefined;
  readonly skip?: readonly Skip[] | undefined;
  /** How long a test may take before the suite calls it a hang. @default 60 s */
  readonly patienceMs?: number | undefined;
}

/** What a test of the suite is given. */
export interface DeviceSubject {
  readonly device: Device;
  /** A folder of this test, on a disk or a tmpfs. */
  readonly folder: string;
  /** Opens what the device shares, elsewhere. */
  readonly startPeer: () => Promise<DevicePeer>;
}
