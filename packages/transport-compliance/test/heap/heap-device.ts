import {
  CheckpointEngineError,
  type Copy,
  type Device,
  type HostMemory,
  type MemoryInfo,
  type SharedMemory,
  type Stream,
} from '@checkpoint-engine/interface';

let nextAddress = 4096n;

/** Memory that is a typed array. */
export class HeapMemory implements HostMemory, SharedMemory {
  readonly kind = 'host';
  readonly pinned = false;
  readonly handle: Uint8Array = new Uint8Array();
  readonly address: bigint = nextAddress;
  readonly bytes: Uint8Array;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    nextAddress += BigInt(sizeBytes);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  async read(): Promise<void> {
    throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Heap memory reads no files', 'Use a real device');
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    this.bytes.set(bytes, offsetBytes);
  }

  async pin(): Promise<void> {}

  view(offsetBytes: number, sizeBytes: number): Uint8Array {
    return this.bytes.subarray(offsetBytes, offsetBytes + sizeBytes);
  }

  close(): void {}

  [Symbol.dispose](): void {}
}

/** A device of typed arrays, which all members of this process can see. */
export class HeapDevice implements Device {
  readonly specVersion = 1;
  readonly kind = 'host';
  readonly uuid = 'HOST-heap-0';
  readonly name = 'heap';
  readonly index = 0;
  readonly supports = { hostAddressable: true, pinning: false };

  memoryInfo(): MemoryInfo {
    return { freeBytes: 2 ** 30, totalBytes: 2 ** 30 };
  }

  async allocateShared(sizeBytes: number): Promise<HeapMemory> {
    return new HeapMemory(sizeBytes);
  }

  async openShared(): Promise<HeapMemory> {
    throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Heap memory has no handle', 'Use a real device');
  }

  async allocate(sizeBytes: number): Promise<HeapMemory> {
    return new HeapMemory(sizeBytes);
  }

  async allocateHost(sizeBytes: number): Promise<HeapMemory> {
    return new HeapMemory(sizeBytes);
  }

  async mapFile(): Promise<never> {
    throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Heap memory maps no files', 'Use a real device');
  }

  createStream(name: string): Stream {
    return { name, copy: async (copies) => copies.forEach(copy), close: async () => {} };
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

function copy({ from, to }: Copy): void {
  const bytes = (from.memory as HeapMemory).view(from.offsetBytes, from.sizeBytes);
  (to.memory as HeapMemory).bytes.set(bytes, to.offsetBytes);
}
