import type { Device } from '@checkpoint-engine/interface';
import type { Runner, Skip } from '../suite/runner.ts';
import type { DevicePeer } from './device-peer.ts';

/** Options of {@link deviceSuite}. */
export interface DeviceSuiteOptions {
  readonly runner: Runner;
  /** The device's name, for the suite's title. */
  readonly name: string;
  /** Opens the device, in this process. The suite opens a new device for each test, and closes it. */
  readonly open: () => Promise<Device>;
  /**
   * A module that exports `open`, a function like this one. A separate process uses it to open the memory that this
   * process shares.
   * @default a second device of this process opens the memory
   */
  readonly peer?: URL | undefined;
  readonly skip?: readonly Skip[] | undefined;
  /** Time after which the suite treats a test as hanging. @default 60 s */
  readonly patienceMs?: number | undefined;
}

/** The arguments of a test. */
export interface DeviceSubject {
  readonly device: Device;
  /** A folder for this test, on a disk or a tmpfs. */
  readonly folder: string;
  /** Starts a peer that opens the memory that the device shares. */
  readonly startPeer: () => Promise<DevicePeer>;
}
