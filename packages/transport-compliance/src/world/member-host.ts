import type { Device, MemoryKind, Store } from '@checkpoint-engine/interface';
import { Buffers, type Contents } from '../buffers.ts';
import { type ProcessStats, processStats } from '../process-stats.ts';
import type { MemberOperations } from './member.ts';

/** The operations of a member in the process of its device. */
export abstract class MemberHost implements MemberOperations {
  protected readonly device: Device;
  protected readonly store: Store;
  protected readonly buffers: Buffers;

  constructor(device: Device, store: Store) {
    this.device = device;
    this.store = store;
    this.buffers = new Buffers(device);
  }

  async allocate(args: { buffer: string; kind: MemoryKind; sizeBytes: number }): Promise<MemoryKind> {
    return await this.buffers.allocate(args);
  }

  async fill(args: Contents): Promise<void> {
    await this.buffers.fill(args);
  }

  async check(args: Contents): Promise<string | null> {
    return await this.buffers.check(args);
  }

  async stats(): Promise<ProcessStats> {
    return processStats();
  }

  async reset(): Promise<void> {
    await this.closeAll();
    await this.buffers.free();
  }

  async shutDown(): Promise<void> {
    await this.reset();
    await this.closeTransport();
    await this.device.close();
    await this.store.close();
  }

  abstract closeTransport(): Promise<void>;
  /** Closes everything that tests have opened on the transport. */
  protected abstract closeAll(): Promise<void>;
}
