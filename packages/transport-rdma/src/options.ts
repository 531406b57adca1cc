import { LONGEST_TIMER_MS } from '@checkpoint-engine/interface';

/** Options of `rdma`. */
export interface RdmaOptions {
  /**
   * Protocol that Mooncake uses. `auto` selects `rdma` if the chosen devices are RDMA devices, `efa` if they are
   * Elastic Fabric Adapters, and `tcp` if there are none.
   *
   * @default 'auto'
   */
  readonly protocol?: 'auto' | 'rdma' | 'tcp' | 'efa' | undefined;
  /** Address of this host that peers can reach; it is part of the endpoint's address. @default '127.0.0.1' */
  readonly host?: string | undefined;
  /** Names of the RDMA devices to use, see `chooseRdmaDevices`. @default all */
  readonly devices?: readonly string[] | undefined;
  /**
   * First and last port to listen on, five for each endpoint of the host; for firewalls. An endpoint that only reads
   * listens as well.
   *
   * @default any port for the control channel, 15000 to 17000 for Mooncake
   */
  readonly ports?: readonly [first: number, last: number] | undefined;
  /** Secret that the ranks share. Owner and reader prove that they know it before a read starts. @default none */
  readonly token?: string | undefined;
  /** Python that has Mooncake. @default the first one that has it, see `mooncakeAvailability` */
  readonly python?: string | undefined;
  /** Time limit of a read without its own time-out. @default 120000 */
  readonly readTimeoutMs?: number | undefined;
  /** Time limit for reaching a peer. @default 10000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Time for which closing a registration waits for its readers. @default 10000 */
  readonly drainTimeoutMs?: number | undefined;
  /** Time limit for the start of the engine. @default 60000 */
  readonly startTimeoutMs?: number | undefined;
  /** Maximum number of blocks in flight to this process, 4 to 512. @default 256 */
  readonly maxInFlight?: number | undefined;
  /** Largest size of the blocks into which ranges are joined and cut, 1 MiB to 16 MiB. @default 4 MiB */
  readonly blockBytes?: number | undefined;
}

const MiB = 1024 * 1024;

type Plain = Exclude<keyof RdmaOptions, 'devices' | 'ports' | 'token' | 'python'>;

/** Options with the defaults filled in. */
export type RdmaSettings = { readonly [Name in Plain]: NonNullable<RdmaOptions[Name]> } & {
  readonly devices: readonly string[] | undefined;
  readonly ports: readonly [number, number] | undefined;
  readonly token: string | undefined;
  readonly python: string | undefined;
};

/** Checks options and fills in the defaults. @throws {TypeError} @throws {RangeError} */
export function resolveOptions(options: RdmaOptions): RdmaSettings {
  const { protocol = 'auto', host = '127.0.0.1', devices, ports, token, python } = options;
  if (!['auto', 'rdma', 'tcp', 'efa'].includes(protocol)) {
    throw new TypeError(`protocol must be auto, rdma, tcp or efa: "${protocol}"`);
  }
  if (!/^[\w.:%-]+$/.test(host) || host === '0.0.0.0' || host === '::') {
    throw new TypeError(`host must be an address of this host that peers can reach: "${host}"`);
  }
  for (const device of devices ?? []) {
    if (!/^[\w.-]+$/.test(device)) throw new TypeError(`devices must be names such as mlx5_0: "${device}"`);
  }
  if (ports !== undefined && !(isWhole(ports[0], 1, 65_531) && isWhole(ports[1], ports[0] + 4, 65_535))) {
    throw new RangeError(`ports must be the first and the last of at least five: ${ports.join(' to ')}`);
  }
  const whole = (name: Plain, initial: number, least: number, most: number): number => {
    const value = options[name] ?? initial;
    if (isWhole(value, least, most)) return value;
    throw new RangeError(`${name} must be a whole number from ${least} to ${most}: ${String(value)}`);
  };
  return {
    protocol,
    host,
    devices,
    ports,
    token: token === '' ? undefined : token,
    python,
    readTimeoutMs: whole('readTimeoutMs', 120_000, 1, LONGEST_TIMER_MS),
    connectTimeoutMs: whole('connectTimeoutMs', 10_000, 1, LONGEST_TIMER_MS),
    drainTimeoutMs: whole('drainTimeoutMs', 10_000, 0, LONGEST_TIMER_MS),
    startTimeoutMs: whole('startTimeoutMs', 60_000, 1, LONGEST_TIMER_MS),
    maxInFlight: whole('maxInFlight', 256, 4, 512),
    blockBytes: whole('blockBytes', 4 * MiB, MiB, 16 * MiB),
  };
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}
