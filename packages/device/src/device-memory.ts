import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  abortError,
  CheckpointEngineError,
  type DigestRequest,
  type FileMemory,
  type FileRead,
  type FileState,
  type HostMemory,
  type Memory,
  type MemoryKind,
  type ReadOptions,
} from '@checkpoint-engine/interface';
import { awaitNative, callNative } from '@checkpoint-engine/native-kit';
import { toDigestRows } from './digest-rows.ts';
import { addon, type NativeDevice, type NativeMemory, type NativeRead } from './native.ts';
import { toReadTable } from './read-table.ts';

/** Size of one copy, which takes about 200 microseconds. */
const sliceBytes = 2 ** 20;
/** Time for which a write continues before it yields to the event loop. */
const turnMs = 1;
const progressIntervalMs = 50;

/** The part of a device that its memories use. */
export interface MemoryOwner {
  readonly native: NativeDevice;
  /** Makes closing the device wait for `promise`. */
  track<T>(promise: Promise<T>): Promise<T>;
  forget(memory: DeviceMemory): void;
}

/** Memory of a device of this package: host or device memory, shared or not. */
export class DeviceMemory implements Memory {
  readonly kind: MemoryKind;
  readonly sizeBytes: number;
  protected readonly owner: MemoryOwner;
  readonly #native: NativeMemory;
  readonly #handle: Uint8Array | undefined;

  constructor(owner: MemoryOwner, native: NativeMemory) {
    this.owner = owner;
    this.#native = native;
    this.kind = addon().memoryIsHost(native) ? 'host' : 'device';
    this.sizeBytes = addon().memorySize(native);
    this.#handle = addon().memoryHandle(native);
  }

  /** Returns the addon's object behind a memory. @throws {TypeError} `memory` does not come from this package. */
  static nativeOf(memory: Memory): NativeMemory {
    if (typeof memory === 'object' && memory !== null && #native in memory) return memory.#native;
    throw new TypeError('Expected a memory of a device of @checkpoint-engine/device');
  }

  get address(): bigint {
    return addon().memoryAddress(this.#native);
  }

  /** The handle with which another process opens the memory; `undefined` if it is not shared. */
  get handle(): Uint8Array | undefined {
    return this.#handle?.slice();
  }

  close(): void {
    addon().closeMemory(this.#native);
    this.owner.forget(this);
  }

  /** See `SharedMemory.discard`. */
  discard(): void {
    addon().closeMemory(this.#native, true);
    this.owner.forget(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Host memory of a device of this package. */
export class DeviceHostMemory extends DeviceMemory implements HostMemory {
  declare readonly kind: 'host';

  get pinned(): boolean {
    return addon().memoryPinned(DeviceMemory.nativeOf(this));
  }

  async read(reads: readonly FileRead[], options: ReadOptions = {}): Promise<void> {
    const { signal, onProgress, digest } = options;
    if (signal?.aborted) throw abortError(signal, 'read');
    const { paths, rows } = toReadTable(reads);
    const digestRows = digest && toDigestRows(digest.ranges);
    if (digest && digest.sums.length !== digest.sumCount) {
      throw new RangeError(`sums has ${digest.sums.length} items, expected ${digest.sumCount}`);
    }
    await this.owner.track(
      awaitNative(async () => {
        const { native, promise } = addon().read(
          this.owner.native,
          DeviceMemory.nativeOf(this),
          paths,
          rows,
          digestRows,
          digest?.blockBytes,
          digest?.sumCount,
        );
        const sums = await watchRead(native, promise, signal, onProgress);
        // A BigUint64Array wraps around by itself.
        for (const [at, sum] of sums?.entries() ?? []) digest!.sums[at]! += sum;
      }),
    );
  }

  digest({ ranges, blockBytes, sumCount }: DigestRequest): Promise<BigUint64Array> {
    const rows = toDigestRows(ranges);
    return this.owner.track(
      awaitNative(async () =>
        addon().digest(this.owner.native, DeviceMemory.nativeOf(this), rows, blockBytes, sumCount),
      ),
    );
  }

  write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    return this.owner.track(
      awaitNative(async () => {
        const native = DeviceMemory.nativeOf(this);
        if (isSharedBuffer(bytes)) await addon().write(this.owner.native, native, offsetBytes, bytes);
        else await writeInSlices(native, offsetBytes, bytes);
      }),
    );
  }

  pin(): Promise<void> {
    return this.owner.track(awaitNative(async () => addon().pin(this.owner.native, DeviceMemory.nativeOf(this))));
  }

  view(offsetBytes: number, sizeBytes: number): Uint8Array {
    return new Uint8Array(callNative(() => addon().view(DeviceMemory.nativeOf(this), offsetBytes, sizeBytes)));
  }
}

/** Host memory that maps a file. */
export class DeviceFileMemory extends DeviceHostMemory implements FileMemory {
  fileState(): Promise<FileState> {
    return this.owner.track(awaitNative(async () => addon().fileState(DeviceMemory.nativeOf(this))));
  }
}

const isSharedBuffer = (bytes: Uint8Array): boolean =>
  bytes instanceof Uint8Array && bytes.buffer instanceof SharedArrayBuffer;

/** Only the JavaScript thread itself can detach these bytes, so that thread copies them. */
async function writeInSlices(native: NativeMemory, offsetBytes: number, bytes: Uint8Array): Promise<void> {
  const sizeBytes = bytes?.byteLength ?? 0;
  let turnEndsAt = performance.now() + turnMs;
  let start = 0;
  do {
    if (start > 0 && bytes.byteLength !== sizeBytes) throw bytesTaken(start, sizeBytes);
    const end = Math.min(start + sliceBytes, sizeBytes);
    addon().writeNow(native, offsetBytes, bytes, start, end - start);
    start = end;
    if (start === sizeBytes || performance.now() < turnEndsAt) continue;
    await nextTurn();
    turnEndsAt = performance.now() + turnMs;
  } while (start < sizeBytes);
}

function bytesTaken(doneBytes: number, sizeBytes: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CLOSED',
    `The buffer of the bytes was transferred or closed after ${doneBytes} of ${sizeBytes} bytes were written`,
    'Keep the buffer until write() has resolved',
    { op: 'write' },
  );
}

/** Reports the progress of a read and cancels it when the signal fires; leaves no timer and no listener. */
async function watchRead<T>(
  read: NativeRead,
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  onProgress: ReadOptions['onProgress'],
): Promise<T> {
  const cancel = (): void => addon().cancelRead(read);
  const report = (): void => onProgress?.(addon().readDoneBytes(read));
  const timer = onProgress && setInterval(report, progressIntervalMs);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const result = await promise;
    report();
    return result;
  } catch (error) {
    if (signal?.aborted && (error as { code?: unknown }).code === 'CE_ABORTED') throw abortError(signal, 'read');
    throw error;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', cancel);
  }
}

/**
 * Detaches one view immediately: the view, and every other typed array over its buffer, becomes empty. The memory
 * stays open. Idempotent.
 */
export function detachView(view: Uint8Array): void {
  callNative(() => addon().detach(view.buffer as ArrayBuffer));
}
