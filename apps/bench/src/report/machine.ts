import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import process from 'node:process';
import type { Device } from '@checkpoint-engine/interface';

/** Where a figure was measured. */
export interface MachineDescription {
  readonly device: string;
  readonly driver: string | undefined;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly runtime: string;
  readonly commit: string | undefined;
  readonly date: string;
}

/** Describes this machine and the device that was measured. */
export function describeMachine(device: Device): MachineDescription {
  return {
    device: device.name,
    driver: quiet(() => /Kernel Module[^\d]*([\d.]+)/.exec(readFileSync('/proc/driver/nvidia/version', 'utf8'))?.[1]),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: quiet(() => readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()) ?? 'unknown',
    runtime: `Node ${process.version}`,
    commit: quiet(() =>
      execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim(),
    ),
    date: new Date().toISOString(),
  };
}

function quiet<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
