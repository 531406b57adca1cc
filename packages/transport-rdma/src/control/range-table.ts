import { LONGEST_TIMER_MS } from '@checkpoint-engine/interface';

/** A range that peers may lease. */
export interface OwnedRange {
  readonly number: number;
  readonly address: string;
  readonly sizeBytes: number;
}

interface Lease {
  readonly ranges: readonly number[];
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The ranges of an endpoint, and their current readers. */
export class RangeTable {
  readonly #ranges = new Map<number, OwnedRange>();
  readonly #leases = new Map<number, Lease>();
  readonly #waiting = new Set<() => void>();
  #next = 1;

  add(address: string, sizeBytes: number): OwnedRange {
    const range = { number: this.#next++, address, sizeBytes };
    this.#ranges.set(range.number, range);
    return range;
  }

  /** Stops granting leases on a range, and waits until all are released, at most for `timeoutMs`. */
  async remove(number: number, timeoutMs: number): Promise<void> {
    this.#ranges.delete(number);
    const isRead = (): boolean => [...this.#leases.values()].some(({ ranges }) => ranges.includes(number));
    if (!isRead()) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      const check = (): void => {
        if (!isRead()) end();
      };
      const timer = setTimeout(end, Math.min(timeoutMs, LONGEST_TIMER_MS));
      this.#waiting.add(check);
    });
    for (const [lease, { ranges }] of this.#leases) if (ranges.includes(number)) this.release(lease);
  }

  /** Grants a lease on all of the ranges, or returns the number of one that is not registered with these values. */
  lease(
    ranges: readonly (readonly [number, string, number])[],
    ttlMs: number,
  ): { lease: number } | { unknown: number } {
    for (const [number, address, sizeBytes] of ranges) {
      const range = this.#ranges.get(number);
      if (range?.address !== address || range.sizeBytes !== sizeBytes) return { unknown: number };
    }
    const lease = this.#next++;
    const timer = setTimeout(() => this.release(lease), Math.min(ttlMs, LONGEST_TIMER_MS));
    timer.unref();
    this.#leases.set(lease, { ranges: ranges.map(([number]) => number), timer });
    return { lease };
  }

  /** Ends a lease. Returns whether it was still held. */
  release(lease: number): boolean {
    const held = this.#leases.get(lease);
    if (held === undefined) return false;
    clearTimeout(held.timer);
    this.#leases.delete(lease);
    for (const check of this.#waiting) check();
    return true;
  }

  /** Removes every range immediately, because the engine that served them is gone. */
  clear(): void {
    this.#ranges.clear();
    for (const lease of [...this.#leases.keys()]) this.release(lease);
  }
}
