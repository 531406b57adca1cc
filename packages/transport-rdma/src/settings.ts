import process from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { listRdmaDevices, type RdmaDevice } from './devices/list-rdma-devices.ts';
import type { RdmaSettings } from './options.ts';

/** The configuration of a transfer engine. */
export interface EngineSettings {
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
  readonly host: string;
  readonly protocol: 'rdma' | 'tcp' | 'efa';
  /** Empty if all devices may be used. */
  readonly devices: readonly string[];
  readonly startTimeoutMs: number;
  /** Whether network cards access the memory: all of it must be registered with them, and writable. */
  readonly pinsMemory: boolean;
}

/**
 * Resolves `auto` on this host.
 *
 * @throws `CE_DEVICE_UNAVAILABLE` if a requested device does not exist, or does not support the protocol.
 */
export function engineSettings(
  settings: RdmaSettings,
  available: readonly RdmaDevice[] = listRdmaDevices(),
): Omit<EngineSettings, 'python'> {
  const wanted = settings.devices ?? available.map(({ name }) => name);
  const usable = available.filter(({ name }) => wanted.includes(name));
  const missing = (settings.devices ?? []).filter((name) => !available.some((device) => device.name === name));
  const efa = usable.filter(({ isEfa }) => isEfa);
  const verbs = usable.filter(({ isEfa }) => !isEfa);
  const auto = verbs.length > 0 ? 'rdma' : efa.length > 0 ? 'efa' : 'tcp';
  const protocol = settings.protocol === 'auto' ? auto : settings.protocol;
  const chosen = { rdma: verbs, efa, tcp: [] }[protocol];
  if (protocol !== 'tcp' && (chosen.length === 0 || missing.length > 0)) throw noDevice(protocol, missing, available);
  if (settings.protocol === 'auto' && missing.length > 0) throw noDevice(protocol, missing, available);
  return {
    env: engineEnvironment(protocol, settings.ports, process.env),
    host: settings.host,
    protocol,
    devices: chosen.map(({ name }) => name),
    startTimeoutMs: settings.startTimeoutMs,
    pinsMemory: protocol !== 'tcp',
  };
}

/** Variables that Mooncake reads when it is loaded. Values that the user has set take precedence. */
function engineEnvironment(
  protocol: EngineSettings['protocol'],
  ports: RdmaSettings['ports'],
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const wanted: Record<string, string> = {
    MC_LOG_LEVEL: 'ERROR',
    // Without it every block uses its own connection.
    MC_TCP_ENABLE_CONNECTION_POOL: '1',
    ...(ports && { MC_MIN_RPC_PORT: String(ports[0]), MC_MAX_RPC_PORT: String(lastEnginePort(ports)) }),
  };
  const free = Object.entries(wanted).filter(([name]) => env[name] === undefined);
  return { ...Object.fromEntries(free), ...(protocol === 'tcp' && { MC_FORCE_TCP: '1' }) };
}

/** The control channels use the upper fifth of the ports: an engine uses two, and an endpoint has two engines. */
function lastEnginePort([first, last]: readonly [number, number]): number {
  return last - Math.floor((last - first + 1) / 5);
}

/** Ports for the control channel, in search order; an owner that restarts gets the same one. */
export function controlPorts(ports: RdmaSettings['ports']): number[] {
  if (ports === undefined) return [0];
  const last = ports[1];
  return Array.from({ length: last - lastEnginePort(ports) }, (_, i) => last - i);
}

function noDevice(
  protocol: string,
  missing: readonly string[],
  available: readonly RdmaDevice[],
): CheckpointEngineError {
  const names = available.map(({ name, isEfa }) => (isEfa ? `${name} (EFA)` : name)).join(', ');
  const what =
    missing.length > 0 ? `The RDMA devices ${missing.join(', ')} do not exist` : `No device supports ${protocol}`;
  return new CheckpointEngineError(
    'CE_DEVICE_UNAVAILABLE',
    `${what}: this host has ${names || 'none'}`,
    'Use existing devices (ls /sys/class/infiniband; containers need --device=/dev/infiniband), or use protocol "tcp"',
    { op: 'open' },
  );
}
