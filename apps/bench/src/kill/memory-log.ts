import { execFileSync } from 'node:child_process';
import { formatBytes } from '@checkpoint-engine/planner';
import { printTable } from '../report/table.ts';
import type { KillRank } from './kill-rank.ts';
import type { Receiver } from './receivers.ts';

/** Device memory at one point of a run. */
export interface MemoryLook {
  readonly step: string;
  /** Of each rank's GPU, whoever uses it. */
  readonly usedBytes: readonly number[];
  /** By `rank 0`, `engine 0` and so on: what the driver counts for that process. None where it does not tell. */
  readonly processBytes: Readonly<Record<string, number>>;
  /** By engine: what torch holds, and of that what tensors take. */
  readonly torch: readonly { readonly allocated: number; readonly reserved: number }[];
}

/** Whose memory is looked at. They may be other processes the next time. */
export interface MemoryOwners {
  readonly ranks: readonly KillRank[];
  readonly receivers: readonly Receiver[];
}

/** Looks at device memory after each step of a run, so that what is kept can be told to whoever keeps it. */
export class MemoryLog {
  readonly looks: MemoryLook[] = [];

  async look(step: string, { ranks, receivers }: MemoryOwners): Promise<MemoryLook> {
    const usedBytes = await Promise.all(ranks.map((rank) => rank.call('usedBytes', null)));
    const names = new Map([
      ...ranks.map(({ pid }, index) => [pid, `rank ${index}`] as const),
      ...receivers.map(({ pid }, index) => [pid, `engine ${index}`] as const),
    ]);
    const processBytes: Record<string, number> = {};
    for (const [pid, bytes] of driverProcesses()) processBytes[names.get(pid) ?? `process ${pid}`] = bytes;
    const torch = await Promise.all(receivers.flatMap((receiver) => receiver.torchBytes?.() ?? []));
    const look = { step, usedBytes, processBytes, torch };
    this.looks.push(look);
    return look;
  }

  print(): void {
    const processes = [...new Set(this.looks.flatMap((look) => Object.keys(look.processBytes)))].toSorted();
    const gpus = this.looks[0]?.usedBytes.map((_, index) => `GPU of rank ${index}`) ?? [];
    const engines = this.looks[0]?.torch.map((_, index) => `torch in engine ${index}: tensors + kept`) ?? [];
    printTable(
      ['after', ...gpus, ...processes, ...engines],
      this.looks.map(({ step, usedBytes, processBytes, torch }) => [
        step,
        ...usedBytes.map(formatBytes),
        ...processes.map((name) => (processBytes[name] === undefined ? '-' : formatBytes(processBytes[name]))),
        ...torch.map(({ allocated, reserved }) => `${formatBytes(allocated)} + ${formatBytes(reserved - allocated)}`),
      ]),
    );
  }
}

/** Process ids and bytes as nvidia-smi tells them: those of this PID namespace, where the driver counts at all. */
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
