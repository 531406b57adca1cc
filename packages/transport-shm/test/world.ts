import { createHostDevice } from '@checkpoint-engine/device';
import type { BroadcastGroup, Device, HostMemory, MemoryRange, Store } from '@checkpoint-engine/interface';
import { hubLink, StoreHub, TestStore } from '@checkpoint-engine/transport-compliance';
import { type ShmOptions, shm } from '@checkpoint-engine/transport-shm';

/** A member of a group in this process. */
export interface Member {
  readonly device: Device;
  readonly store: Store;
  readonly group: BroadcastGroup;
  readonly memory: HostMemory;
  /** The middle part of `memory`. */
  readonly target: MemoryRange;
}

/** A whole range of a memory. */
export function all(memory: HostMemory): MemoryRange {
  return { memory, offsetBytes: 0, sizeBytes: memory.sizeBytes };
}

/** Runs `test` with a joined group of members in this process, and closes everything. */
export async function withGroup(
  size: number,
  test: (members: Member[]) => Promise<void>,
  options: (rank: number) => ShmOptions = () => ({}),
): Promise<void> {
  const hub = new StoreHub();
  const join = async (rank: number): Promise<Member & { close: () => Promise<void> }> => {
    const device = await createHostDevice();
    const outermost = new TestStore(hubLink(hub, rank), rank, size);
    const store = outermost.epoch('group');
    const transport = shm(options(rank));
    const group = await transport.join({ store, device });
    const memory = await device.allocateHost(4096, { shared: true });
    memory.view(0, 4096).fill(rank + 1);
    const close = async () => {
      await transport.close();
      await device.close();
      await store.close();
      await outermost.close();
    };
    return { device, store, group, memory, target: { memory, offsetBytes: 100, sizeBytes: 1000 }, close };
  };
  const members = await Promise.all(Array.from({ length: size }, (_, rank) => join(rank)));
  try {
    await test(members);
  } finally {
    await Promise.all(members.map((member) => member.close()));
  }
}
