import { loadAddon } from '@checkpoint-engine/native-kit';

/** An NCCL communicator with the thread that makes its calls. Opaque. */
export interface NativeCommunicator {
  readonly __brand: 'communicator';
}

/** The exports of the addon. `candidates` are files that may be libnccl; the process keeps the first usable one. */
export interface NativeNccl {
  open(candidates: readonly string[]): { path: string; version: string };
  uniqueId(candidates: readonly string[]): Promise<Uint8Array>;
  join(
    candidates: readonly string[],
    device: number,
    rank: number,
    size: number,
    id: Uint8Array,
    timeoutMs: number,
  ): { communicator: NativeCommunicator; ready: Promise<void> };
  broadcast(
    communicator: NativeCommunicator,
    send: bigint,
    receive: bigint,
    sizeBytes: number,
    root: number,
  ): Promise<void>;
  abort(communicator: NativeCommunicator): void;
  close(communicator: NativeCommunicator): Promise<void>;
}

let addon: NativeNccl | undefined;

/** Returns the addon, and loads it on first use: importing this package does not load it. */
export function native(): NativeNccl {
  addon ??= loadAddon<NativeNccl>(new URL('../', import.meta.url), 'nccl');
  return addon;
}
