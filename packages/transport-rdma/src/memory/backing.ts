import { readFileSync } from 'node:fs';
import process from 'node:process';
import { CheckpointEngineError, type Memory } from '@checkpoint-engine/interface';

/** The file behind a memory, through which another process maps the same bytes. */
export interface Backing {
  /** Paths to try; the last one reaches a file that was unlinked, if the system allows it. */
  readonly paths: readonly string[];
  /** `major:minor` in hexadecimal, in the kernel's format. */
  readonly device: string;
  readonly inode: number;
  /** Offset of the memory in the file. */
  readonly offset: number;
  readonly size: number;
}

interface Area {
  readonly start: bigint;
  readonly end: bigint;
  readonly shared: boolean;
  readonly offset: bigint;
  readonly device: string;
  readonly inode: number;
  readonly path: string;
  /** `start-end` in the kernel's format. */
  readonly range: string;
}

const known = new WeakMap<Memory, { readonly address: bigint; readonly backing: Backing }>();

/**
 * Finds the file behind a memory of this process, regardless of its origin: shared memory of a device, an opened
 * segment, a file on tmpfs that is mapped in place.
 *
 * @throws `CE_CLOSED` if the memory is closed, `CE_NOT_SUPPORTED` if it belongs to this process alone.
 */
export function backingOf(memory: Memory): Backing {
  const { address } = memory;
  if (address === 0n)
    throw new CheckpointEngineError('CE_CLOSED', 'The memory is closed', 'Use it before it is closed');
  const before = known.get(memory);
  if (before?.address === address) return before.backing;
  const backing = findBacking(readFileSync('/proc/self/maps', 'utf8'), address, memory.sizeBytes);
  known.set(memory, { address, backing });
  return backing;
}

/** {@link backingOf} on the text of `/proc/self/maps`. */
export function findBacking(maps: string, address: bigint, sizeBytes: number): Backing {
  const end = address + BigInt(sizeBytes);
  const areas = maps
    .split('\n')
    .map(parseArea)
    .filter((area): area is Area => area !== undefined && area.start < end && area.end > address);
  const [first] = areas;
  if (first === undefined || first.start > address || !isOneFile(areas, end)) {
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `The ${sizeBytes} bytes of host memory at 0x${address.toString(16)} are private to this process, but the transfer engine runs in a separate process`,
      'Allocate the memory with allocateHost(sizeBytes, { shared: true }), or map a file in /dev/shm',
      { op: 'register' },
    );
  }
  return {
    paths: [first.path.replace(/ \(deleted\)$/, ''), `/proc/${process.pid}/map_files/${first.range}`],
    device: first.device,
    inode: first.inode,
    offset: Number(first.offset + address - first.start),
    size: sizeBytes,
  };
}

/** Whether the areas are contiguous in memory and in one shared file, up to `end`. The kernel may split one mapping. */
function isOneFile(areas: readonly Area[], end: bigint): boolean {
  const [first] = areas;
  return (
    areas.every((area, i) => {
      const previous = areas[i - 1];
      return (
        area.shared &&
        area.inode !== 0 &&
        area.inode === first!.inode &&
        area.device === first!.device &&
        (previous === undefined || area.start === previous.end) &&
        area.offset - first!.offset === area.start - first!.start
      );
    }) && areas.at(-1)!.end >= end
  );
}

function parseArea(line: string): Area | undefined {
  const match = /^([0-9a-f]+)-([0-9a-f]+) ..(.)(.) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$/.exec(line);
  if (match === null) return undefined;
  const [, start, end, , sharing, offset, device, inode, path] = match;
  return {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    shared: sharing === 's',
    offset: BigInt(`0x${offset}`),
    device: device!,
    inode: Number(inode),
    path: path!,
    range: `${start!.replace(/^0+/, '')}-${end!.replace(/^0+/, '')}`,
  };
}
