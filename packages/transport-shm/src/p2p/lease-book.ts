import { randomBytes } from 'node:crypto';
import type { MemoryRange } from '@checkpoint-engine/interface';
import { sharedMemoryOf } from '../memory/range-checks.ts';
import type { GrantedRange } from './frames.ts';

/** A reader's right to read some ranges, until it is released or revoked. */
export interface Lease {
  /** Revokes the lease of a reader that does not release it. */
  revoke(): void;
}

interface Entry {
  readonly range: MemoryRange;
  readonly leases: Set<Lease>;
  /** Called when the last lease is released; set while the entry is being withdrawn. */
  onFree: (() => void) | undefined;
}

/** The registered ranges of an endpoint, and their current readers. */
export class LeaseBook {
  /** Time for which withdrawing a range waits for its readers. */
  readonly leaseMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #held = new Map<Lease, readonly Entry[]>();

  constructor(leaseMs: number) {
    this.leaseMs = leaseMs;
  }

  /** Adds a range and returns its key for readers, which cannot be guessed. */
  add(range: MemoryRange): string {
    const key = randomBytes(16).toString('base64url');
    this.#entries.set(key, { range, leases: new Set(), onFree: undefined });
    return key;
  }

  /** Grants a lease on all of the ranges, or returns a key that is not registered. */
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
   * Withdraws a range: no further leases are granted, and the promise resolves when the granted ones have ended. Leases
   * that have not ended after `leaseMs` are revoked.
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

  /** Withdraws every range, see {@link LeaseBook.remove}. */
  async removeAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((key) => this.remove(key)));
  }
}
