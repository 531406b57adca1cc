import { Buffer } from 'node:buffer';
import type { Device, Memory, PullRegion } from '@checkpoint-engine/interface';

/** Mapped regions. They stay mapped if the next session uses them. */
export class RegionMaps {
  readonly #device: Device;
  readonly #mapped = new Map<string, Memory>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Maps these regions and unmaps all others. @returns By id. @throws `CE_SHM_FAILED` */
  async map(regions: readonly PullRegion[]): Promise<ReadonlyMap<number, Memory>> {
    const keys = new Map(regions.map((region) => [keyOf(region), region]));
    for (const [key, memory] of this.#mapped) {
      if (keys.has(key)) continue;
      this.#mapped.delete(key);
      memory.close();
    }
    for (const [key, { handle, sizeBytes }] of keys) {
      if (!this.#mapped.has(key)) this.#mapped.set(key, await this.#open(handle, sizeBytes));
    }
    return new Map(regions.map((region) => [region.id, this.#mapped.get(keyOf(region))!]));
  }

  /** Unmaps all. Idempotent. */
  close(): void {
    for (const memory of this.#mapped.values()) memory.close();
    this.#mapped.clear();
  }

  async #open(handle: Uint8Array, sizeBytes: number): Promise<Memory> {
    const memory = await this.#device.openShared(new Uint8Array(handle), sizeBytes);
    if ('pin' in memory && typeof memory.pin === 'function') await memory.pin();
    return memory;
  }
}

const keyOf = ({ handle, sizeBytes }: PullRegion): string => `${sizeBytes}:${Buffer.from(handle).toString('latin1')}`;
