import type { Connection } from '../wire/connection.ts';
import type { GrantFrame, RefuseFrame } from './frames.ts';
import type { Lease, LeaseBook } from './lease-book.ts';
import { readOwnerFrame } from './read-frame.ts';

/** Maximum number of leases that one reader holds at the same time; a reader takes one for each read. */
const maxLeases = 65_536;

/** Serves one reader: grants and releases its leases, and ends all of them when it disconnects. */
export function serveReader(connection: Connection, book: LeaseBook): void {
  const leases = new Map<number, Lease>();
  const release = (id: number) => {
    const lease = leases.get(id);
    leases.delete(id);
    if (lease !== undefined) book.release(lease);
  };
  connection.consume((frame) => {
    const asked = readOwnerFrame(frame);
    if (asked.type === 'release') release(asked.id);
    if (asked.type !== 'lease') return;
    const { id, keys } = asked;
    if (leases.has(id) || leases.size >= maxLeases)
      throw new RangeError(`Lease ${id} is a duplicate, or exceeds the limit of leases`);
    // A reader that keeps its lease too long loses its connection, so it learns that its read has failed.
    const lease: Lease = { revoke: () => connection.destroy() };
    const granted = book.grant(keys, lease);
    if (typeof granted === 'string') {
      connection.send({ type: 'refuse', id, key: granted } as RefuseFrame);
      return;
    }
    leases.set(id, lease);
    connection.send({ type: 'grant', id, ranges: granted, leaseMs: book.leaseMs } as GrantFrame);
  });
  void connection.closed.then(() => {
    for (const id of [...leases.keys()]) release(id);
  });
}
