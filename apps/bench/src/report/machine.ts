import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Device } from '@checkpoint-engine/interface';
import { ncclAvailability } from '@checkpoint-engine/transport-nccl';

/** The machine and software of a measurement. */
export interface MachineDescription {
  /** `2 x NVIDIA H100 80GB HBM3`, or the processor if no GPU took part. */
  readonly device: string;
  /** Version of the GPU's driver. */
  readonly driver: string | undefined;
  readonly nccl: string | undefined;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly runtime: string;
  /** The commit that was measured; `-dirty` where files differed from it. */
  readonly commit: string | undefined;
  readonly date: string;
}

/** Describes this machine and the measured hardware: one or several devices of a kind, or only the processor. */
export function describeMachine(device?: Pick<Device, 'name' | 'kind'>, count = 1): MachineDescription {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  const isGpu = device?.kind === 'cuda';
  const nccl = isGpu ? ncclAvailability() : undefined;
  const name = isGpu ? device.name : `host, ${cpu}`;
  return {
    device: count > 1 ? `${count} x ${name}` : name,
    driver: isGpu ? quiet(driverVersion) : undefined,
    nccl: nccl?.available ? nccl.version : undefined,
    cpu,
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: quiet(() => readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()) ?? 'unknown',
    runtime: `Node ${process.versions.node}`,
    commit: quiet(bundledCommit) ?? quiet(checkedOutCommit),
    date: new Date().toISOString(),
  };
}

function driverVersion(): string | undefined {
  const text = readFileSync('/proc/driver/nvidia/version', 'utf8');
  return /\s(\d{3,}\.\d+(?:\.\d+)?)\s/.exec(text)?.[1];
}

/** A bundle contains the commit that it was created from. */
function bundledCommit(): string {
  return readFileSync(fileURLToPath(new URL('../../commit.txt', import.meta.url)), 'utf8').trim();
}

function checkedOutCommit(): string {
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const git = (...args: string[]): string => execFileSync('git', args, { cwd, encoding: 'utf8', stdio: 'pipe' }).trim();
  return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '-uno') === '' ? '' : '-dirty'}`;
}

function quiet<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
