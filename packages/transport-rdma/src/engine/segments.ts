import type { Backing } from '../memory/backing.ts';
import type { EngineProcess } from './engine-process.ts';

/** A memory as the engine has mapped it. */
export interface Segment {
  readonly segment: number;
  /** Address in the engine's process, decimal. */
  readonly address: string;
}

interface Entry {
  users: number;
  readonly mapped: Promise<Segment>;
  timer?: ReturnType<typeof setTimeout> | undefined;
}

/** Options of {@link Segments}. */
export interface SegmentsOptions {
  /** Whether peers, and the network card, may access the memories. */
  readonly share: boolean;
  /** Whether peers may write to them through this engine. */
  readonly writable: boolean;
  /** Time for which a memory stays mapped after its last use, in case another use follows. @default 0 */
  readonly lingerMs?: number | undefined;
}

/** The memories that an engine has mapped. Each is mapped once, regardless of the number of users. */
export class Segments {
  readonly #engine: EngineProcess;
  readonly #access: { readonly share: boolean; readonly writable: boolean };
  readonly #lingerMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(engine: EngineProcess, { share, writable, lingerMs = 0 }: SegmentsOptions) {
    this.#engine = engine;
    this.#access = { share, writable };
    this.#lingerMs = lingerMs;
  }

  /** Maps a memory, or adds a use to an existing mapping. @throws {EngineRefusal} @throws {EngineEnded} */
  async acquire(backing: Backing): Promise<Segment> {
    if (this.#engine.ended) throw this.#engine.ended;
    const key = keyOf(backing);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { users: 0, mapped: this.#map(backing) };
      this.#entries.set(key, entry);
    }
    clearTimeout(entry.timer);
    entry.users++;
    try {
      return await entry.mapped;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  /** Ends a use. The last one unmaps the memory in the engine. */
  async release(backing: Backing): Promise<void> {
    const entry = this.#entries.get(keyOf(backing));
    if (entry === undefined || --entry.users > 0) return;
    if (this.#lingerMs === 0) return await this.#unmap(backing, entry);
    entry.timer = setTimeout(() => void this.#unmap(backing, entry).catch(() => {}), this.#lingerMs);
    entry.timer.unref();
  }

  /** Stops all timers; the mappings end with the engine. */
  close(): void {
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    this.#entries.clear();
  }

  async #unmap(backing: Backing, entry: Entry): Promise<void> {
    this.#entries.delete(keyOf(backing));
    const { segment } = await entry.mapped;
    if (!this.#engine.ended) await this.#engine.call('unmap', { segment }, patienceMs(backing));
  }

  #map(backing: Backing): Promise<Segment> {
    return this.#engine.call<Segment>('map', { ...backing, ...this.#access }, patienceMs(backing));
  }
}

function keyOf({ device, inode, offset, size }: Backing): string {
  return `${device} ${inode} ${offset} ${size}`;
}

/** Time limit for the registration of a memory with network cards, which must pin it. */
function patienceMs({ size }: Backing): number {
  const slowestBytesAMs = 500_000;
  return 30_000 + size / slowestBytesAMs;
}
