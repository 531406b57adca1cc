import { execFileSync } from 'node:child_process';
import type { Receiver } from '@checkpoint-engine/bench/world/receiver';
import type { World } from '@checkpoint-engine/bench/world/world';
import { formatBytes } from '@checkpoint-engine/planner';

/** Device memory at one point of a run. */
export interface MemoryLook {
  readonly step: string;
  /** Memory in use on the GPU of each rank, by any process. */
  readonly usedBytes: readonly number[];
}

/** Records device memory after each step of a run, and which process holds it, so that a leak names its owner. */
export class MemoryLog {
  readonly #lines: string[] = [];

  /** @param dead A rank that is not measured. */
  async look(step: string, world: World, receivers: readonly Receiver[], dead?: number): Promise<MemoryLook> {
    const living = world.ranks.filter((_, rank) => rank !== dead);
    const usage = await Promise.all(living.map((rank) => rank.call('usage', null)));
    const usedBytes = usage.map(({ deviceUsedBytes }) => deviceUsedBytes);
    const names = new Map([
      ...living.map(({ pid }, index) => [pid, `rank ${index}`] as const),
      ...receivers.map(({ pid }, index) => [pid, `engine ${index}`] as const),
    ]);
    const processes = driverProcesses().map(
      ([pid, bytes]) => `${names.get(pid) ?? `process ${pid}`} ${formatBytes(bytes)}`,
    );
    const torch = (await Promise.all(receivers.map((receiver) => receiver.stats()))).flatMap((stats, index) =>
      stats === undefined
        ? []
        : [`torch ${index} ${formatBytes(stats.torch_allocated_bytes)} of ${formatBytes(stats.torch_reserved_bytes)}`],
    );
    this.#lines.push([`after ${step}: ${usedBytes.map(formatBytes).join(', ')}`, ...processes, ...torch].join('; '));
    return { step, usedBytes };
  }

  toString(): string {
    return this.#lines.join('\n');
  }
}

/** Process ids and bytes that nvidia-smi reports: processes of this PID namespace, if the driver counts them. */
function driverProcesses(): [number, number][] {
  try {
    const args = ['--query-compute-apps=pid,used_memory', '--format=csv,noheader,nounits'];
    const lines = execFileSync('nvidia-smi', args, { encoding: 'utf8', stdio: 'pipe' }).trim().split('\n');
    return lines.flatMap((line) => {
      const [pid, mebibytes] = line.split(',').map(Number);
      return pid! > 0 && mebibytes! >= 0 ? [[pid!, mebibytes! * 2 ** 20] as [number, number]] : [];
    });
  } catch {
    return [];
  }
}
