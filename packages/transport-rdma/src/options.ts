/** Options of `rdma`. */
export interface RdmaOptions {
  /**
   * What Mooncake moves bytes over. `auto` takes `rdma` where the chosen devices are RDMA devices, `efa` where they are
   * Elastic Fabric Adapters, and `tcp` where there are none.
   *
   * @default 'auto'
   */
  readonly protocol?: 'auto' | 'rdma' | 'tcp' | 'efa' | undefined;
  /** Address of this host by which peers reach it; it stands in the endpoint's address. @default '127.0.0.1' */
  readonly host?: string | undefined;
  /** Names of the RDMA devices to use, see `chooseRdmaDevices`. @default all */
  readonly devices?: readonly string[] | undefined;
  /**
   * First and last port to listen on, five for each endpoint of the host; for firewalls. An endpoint that only reads
   * listens too.
   *
   * @default any of the control channel, 15000 to 17000 of Mooncake
   */
  readonly ports?: readonly [first: number, last: number] | undefined;
  /** Secret that the ranks share. Owner and reader then prove to know it before a byte is read. @default none */
  readonly token?: string | undefined;
  /** Python that has Mooncake. @default the first one in sight that has it, see `mooncakeAvailability` */
  readonly python?: string | undefined;
  /** How long a read may take that gives no time-out of its own. @default 120000 */
  readonly readTimeoutMs?: number | undefined;
  /** How long reaching a peer may take. @default 10000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long closing a registration waits for those who read it. @default 10000 */
  readonly drainTimeoutMs?: number | undefined;
  /** How long the engine may take to start. @default 60000 */
  readonly startTimeoutMs?: number | undefined;
  /** Blocks that may be under way to this process together, 4 to 512. @default 256 */
  readonly maxInFlight?: number | undefined;
  /** Ranges are joined and cut into blocks of at most this size, 1 MiB to 16 MiB. @default 4 MiB */
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
    throw new TypeError(`host must be an address by which peers reach this host: "${host}"`);
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
  const longest = 2 ** 31 - 1;
  return {
    protocol,
    host,
    devices,
    ports,
    token: token === '' ? undefined : token,
    python,
    readTimeoutMs: whole('readTimeoutMs', 120_000, 1, longest),
    connectTimeoutMs: whole('connectTimeoutMs', 10_000, 1, longest),
    drainTimeoutMs: whole('drainTimeoutMs', 10_000, 0, longest),
    startTimeoutMs: whole('startTimeoutMs', 60_000, 1, longest),
    maxInFlight: whole('maxInFlight', 256, 4, 512),
    blockBytes: whole('blockBytes', 4 * MiB, MiB, 16 * MiB),
  };
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}
