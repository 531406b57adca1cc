import { statfs } from 'node:fs/promises';
import { formatBytes } from '@checkpoint-engine/planner';
import { runtime } from '../process/runtime.ts';
import type { Check } from './check.ts';
import { parseChoice, parseLimit, parseMeminfo } from './proc-files.ts';
import { readText } from './read-text.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** With less shared memory, a ring is too small to be useful. */
const MIN_SHM_BYTES = 64 * MIB;
/** Docker's default is 64 MiB; weights need much more. */
const ROOMY_SHM_BYTES = GIB;
/** Sockets, files and shared memory of eight ranks and their workers. */
const ROOMY_FILES = 4096;

/** The JavaScript runtime. */
export function checkRuntime(): Check {
  return {
    id: 'runtime',
    title: 'Runtime',
    status: 'found',
    value: `${runtime.name} ${runtime.version}`,
    details: { ...runtime },
  };
}

/** Memory available to programs. */
export async function checkMemory(): Promise<Check> {
  const info = parseMeminfo((await readText('/proc/meminfo')) ?? '');
  const about = { id: 'memory', title: 'Memory' };
  if (!info) return { ...about, status: 'warning', value: '/proc/meminfo cannot be read', hint: 'Mount /proc' };
  const value = `${formatBytes(info.availableBytes)} available of ${formatBytes(info.totalBytes)}`;
  return { ...about, status: 'found', value, details: { ...info } };
}

/** Shared memory, through which ranks and workers of `--device host` share data. */
export async function checkSharedMemory(): Promise<Check> {
  const about = { id: 'shm', title: '/dev/shm' };
  try {
    const { bsize, blocks, bavail } = await statfs('/dev/shm');
    const details = { freeBytes: bsize * bavail, totalBytes: bsize * blocks };
    const value = `${formatBytes(details.freeBytes)} free of ${formatBytes(details.totalBytes)}`;
    const hint = 'Start the container with a larger --shm-size, or "mount -o remount,size=16G /dev/shm"';
    if (details.freeBytes < MIN_SHM_BYTES) return { ...about, status: 'missing', value, hint, details };
    if (details.freeBytes < ROOMY_SHM_BYTES) return { ...about, status: 'warning', value, hint, details };
    return { ...about, status: 'found', value, details };
  } catch {
    return { ...about, status: 'missing', value: 'not mounted', hint: 'Mount a tmpfs on /dev/shm' };
  }
}

/** Limits of this process that matter to updates. */
export async function checkLimits(): Promise<Check[]> {
  const limits = (await readText('/proc/self/limits')) ?? '';
  const memlock = parseLimit(limits, 'Max locked memory');
  const files = parseLimit(limits, 'Max open files');
  return [
    limitCheck('memlock', 'Locked memory', memlock, Number.POSITIVE_INFINITY, formatLimit, {
      few: 'RDMA can register no more memory than this',
      hint: 'Raise it: "ulimit -l unlimited", docker run --ulimit memlock=-1, LimitMEMLOCK=infinity in a systemd unit',
    }),
    limitCheck('nofile', 'Open files', files, ROOMY_FILES, String, {
      few: 'many ranks and large checkpoints open more',
      hint: 'Raise it: "ulimit -n 65536", docker run --ulimit nofile=65536',
    }),
  ];
}

/** Huge pages make large pools faster to fill and to pin. */
export async function checkHugePages(): Promise<Check> {
  const about = { id: 'hugepages', title: 'Huge pages' };
  const setting = parseChoice((await readText('/sys/kernel/mm/transparent_hugepage/enabled')) ?? '');
  if (setting === 'always' || setting === 'madvise') {
    return { ...about, status: 'found', value: `transparent: ${setting}`, details: { setting } };
  }
  return {
    ...about,
    status: 'optional',
    value: `transparent: ${setting ?? 'not supported by this kernel'}; filling and pinning pools takes longer`,
    hint: 'As root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled',
    details: { setting: setting ?? null },
  };
}

function limitCheck(
  id: string,
  title: string,
  limit: number | undefined,
  enough: number,
  text: (limit: number) => string,
  { few, hint }: { few: string; hint: string },
): Check {
  if (limit === undefined)
    return { id, title, status: 'warning', value: '/proc/self/limits cannot be read', hint: 'Mount /proc' };
  // JSON has no infinity.
  const details = { limit: Number.isFinite(limit) ? limit : 'unlimited' };
  if (limit >= enough) return { id, title, status: 'found', value: text(limit), details };
  return { id, title, status: 'warning', value: `${text(limit)}; ${few}`, hint, details };
}

function formatLimit(bytes: number): string {
  return Number.isFinite(bytes) ? formatBytes(bytes) : 'unlimited';
}
