import { createHostDevice } from '@checkpoint-engine/device';
import {
  CheckpointEngineError,
  type Copy,
  type Device,
  type HostMemory,
  isHostMemory,
  isSharedMemory,
  type Memory,
  type MemoryRange,
  type Stream,
} from '@checkpoint-engine/interface';

/** One fault that a device may have. */
export type DeviceMutation =
  | 'has-no-kind'
  | 'more-free-than-total'
  | 'hides-host-memory'
  | 'address-after-close'
  | 'views-are-copies'
  | 'views-stay'
  | 'writes-off-by-one'
  | 'view-clamps'
  | 'pin-clears'
  | 'drops-last-byte'
  | 'ignores-from-offset'
  | 'reverses-copies'
  | 'accepts-unequal-ranges'
  | 'resolves-early'
  | 'forgets-closed-memory'
  | 'reads-from-start'
  | 'hides-truncation'
  | 'reads-without-progress'
  | 'reads-after-abort'
  | 'handle-of-another'
  | 'shares-all-host-memory'
  | 'leaks-shared-memory'
  | 'works-after-close';

type Overrides = Readonly<Record<string, unknown>>;

/** The same object with some of its members replaced. */
function patched<T extends object>(target: T, overrides: Overrides): T {
  return new Proxy(target, {
    get(_, key) {
      if (typeof key === 'string' && key in overrides) return overrides[key];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A host device that works except for one fault. */
export async function openBrokenDevice(mutation: DeviceMutation): Promise<Device> {
  const device = (await createHostDevice()) as Device;
  const originals = new WeakMap<Memory, Memory>();
  const original = (memory: Memory): Memory => originals.get(memory) ?? memory;
  const wrap = <M extends Memory>(memory: M, overrides: Overrides): M => {
    const wrapped = patched(memory, overrides);
    originals.set(wrapped, memory);
    return wrapped;
  };
  const memoryOf = <M extends Memory>(memory: M): M => {
    const overrides = isHostMemory(memory) ? hostFaults(memory, mutation) : {};
    if (mutation === 'address-after-close') return wrap(memory, { ...overrides, address: memory.address });
    if (mutation === 'leaks-shared-memory' && isSharedMemory(memory)) return wrap(memory, { close: () => {} });
    return wrap(memory, overrides);
  };
  const range = (given: MemoryRange): MemoryRange => ({ ...given, memory: original(given.memory) });
  const streamOf = (stream: Stream): Stream => {
    const copy = (copies: readonly Copy[]): Promise<void> =>
      copyFault(
        stream,
        copies.map(({ from, to }) => ({ from: range(from), to: range(to) })),
        mutation,
      );
    return patched(stream, { copy });
  };
  return patched(device, {
    ...(mutation === 'has-no-kind' && { kind: '' }),
    ...(mutation === 'hides-host-memory' && { supports: { ...device.supports, hostAddressable: false } }),
    ...(mutation === 'more-free-than-total' && { memoryInfo: () => ({ freeBytes: 2, totalBytes: 1 }) }),
    ...(mutation === 'works-after-close' && { close: async () => {} }),
    allocate: async (sizeBytes: number) => memoryOf(await device.allocate(sizeBytes)),
    allocateHost: async (sizeBytes: number, { shared = false } = {}) =>
      memoryOf(await device.allocateHost(sizeBytes, { shared: shared || mutation === 'shares-all-host-memory' })),
    async allocateShared(sizeBytes: number) {
      const memory = memoryOf(await device.allocateShared(sizeBytes));
      if (mutation !== 'handle-of-another') return memory;
      const { handle } = await device.allocateShared(sizeBytes);
      return wrap(original(memory), { handle });
    },
    openShared: async (handle: Uint8Array, sizeBytes: number) => memoryOf(await device.openShared(handle, sizeBytes)),
    mapFile: async (path: string) => memoryOf(await device.mapFile(path)),
    createStream: (name: string) => streamOf(device.createStream(name)),
  });
}

function hostFaults(memory: HostMemory, mutation: DeviceMutation): Overrides {
  const { view, read, write } = {
    view: memory.view.bind(memory),
    read: memory.read.bind(memory),
    write: memory.write.bind(memory),
  };
  const faults: Partial<Record<DeviceMutation, Partial<HostMemory>>> = {
    'views-are-copies': { view: (offset, size) => view(offset, size).slice() },
    'views-stay': { close: () => {} },
    'writes-off-by-one': { write: (offset, bytes) => write(offset + 1, bytes) },
    'view-clamps': { view: (offset, size) => view(offset, Math.min(size, memory.sizeBytes - offset)) },
    'pin-clears': { pin: async () => void view(0, memory.sizeBytes).fill(0) },
    'reads-from-start': {
      read: (reads, options) =>
        read(
          reads.map((one) => ({ ...one, fileOffsetBytes: 0 })),
          options,
        ),
    },
    'hides-truncation': {
      read: (reads, options) =>
        read(reads, options).catch((error: CheckpointEngineError) => {
          if (error.code !== 'CE_FILE_TRUNCATED') throw error;
        }),
    },
    'reads-without-progress': { read: (reads, options) => read(reads, { signal: options?.signal }) },
    'reads-after-abort': { read: (reads, options) => read(reads, { onProgress: options?.onProgress }) },
  };
  return faults[mutation] ?? {};
}

async function copyFault(stream: Stream, copies: readonly Copy[], mutation: DeviceMutation): Promise<void> {
  const cut = (range: MemoryRange, sizeBytes: number): MemoryRange => ({ ...range, sizeBytes });
  switch (mutation) {
    case 'drops-last-byte':
      return await stream.copy(
        copies.map(({ from, to }) => ({ from: cut(from, from.sizeBytes - 1), to: cut(to, to.sizeBytes - 1) })),
      );
    case 'ignores-from-offset':
      return await stream.copy(copies.map(({ from, to }) => ({ from: { ...from, offsetBytes: 0 }, to })));
    case 'reverses-copies':
      return await stream.copy([...copies].reverse());
    case 'accepts-unequal-ranges':
      return await stream.copy(
        copies.map(({ from, to }) => {
          const sizeBytes = Math.min(from.sizeBytes, to.sizeBytes);
          return { from: cut(from, sizeBytes), to: cut(to, sizeBytes) };
        }),
      );
    case 'resolves-early': {
      const late = new Promise<void>((resolve) => setTimeout(resolve, 20)).then(() => stream.copy(copies));
      return void late.catch(() => {});
    }
    case 'forgets-closed-memory':
      await null;
      if (copies.some(({ from, to }) => from.memory.address === 0n || to.memory.address === 0n)) {
        throw new CheckpointEngineError('CE_CLOSED', 'A memory is closed', 'Copy before it is closed');
      }
      return await stream.copy(copies);
    default:
      return await stream.copy(copies);
  }
}
