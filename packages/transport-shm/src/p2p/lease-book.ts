import { randomBytes } from 'node:crypto';
import type { MemoryRange } from '@checkpoint-engine/interface';
import { sharedMemoryOf } from '../memory/range-checks.ts';
import type { GrantedRange } from './frames.ts';

/** A reader's right to read some ranges, until it is released or taken away. */
export interface Lease {
  /** Takes the lease away from a reader that does not release it. */
  revoke(): void;
}

interface Entry {
  readonly range: MemoryRange;
  readonly leases: Set<Lease>;
  /** Called when the last lease is released; set while the entry is being taken back. */
  onFree: (() => void) | undefined;
}

/** What an endpoint has registered, and who is reading it. */
export class LeaseBook {
  /** How long taking a range back waits for its readers. */
  readonly leaseMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #held = new Map<Lease, readonly Entry[]>();

  constructor(leaseMs: number) {
    this.leaseMs = leaseMs;
  }

  /** Enters a range and gives the key that readers name it by; it cannot be guessed. */
  add(range: MemoryRange): string {
    const key = randomBytes(16).toString('base64url');
    this.#entries.set(key, { range, leases: new Set(), onFree: undefined });
    return key;
  }

  /** Grants a lease on all of the ranges, or gives the key that is not registered. */
  grant(keys: readonly string[], lease: Lease): readonly GrantedRange[] | string {
    const entries: Entry[] = [];
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined) return key;
      entries.push(entry);
    }
    for (const { leases } of entries) leases.add(lease);
    this.#held.set(lease, entries);
    return entries.map(({ range }) => ({
      handle: sharedMemoryOf(range, 'The registered range').handle,
      memoryBytes: range.memory.sizeBytes,
      offsetBytes: range.offsetBytes,
      sizeBytes: range.sizeBytes,
    }));
  }

  /** Ends a lease. */
  release(lease: Lease): void {
    for (const entry of this.#held.get(lease) ?? []) {
      entry.leases.delete(lease);
      if (entry.leases.size === 0) entry.onFree?.();
    }
    this.#held.delete(lease);
  }

  /**
   * Takes a range back: no lease is granted any more, and this resolves when the granted ones have ended. Those that
   * have not after `leaseMs` are revoked.
   */
  async remove(key: string): Promise<void> {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (entry === undefined || entry.leases.size === 0) return;
    const free = new Promise<void>((resolve) => {
      entry.onFree = resolve;
    });
    const timer = setTimeout(() => {
      for (const lease of entry.leases) lease.revoke();
    }, this.leaseMs);
    await free;
    clearTimeout(timer);
  }

  /** Takes every range back, see {@link LeaseBook.remove}. */
  async removeAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((key) => this.remove(key)));
  }
}
