import type { Stream } from '@checkpoint-engine/interface';
import type { SegmentCache } from '../memory/segment-cache.ts';
import type { Connection } from '../wire/connection.ts';
import type { CallFrame } from './frames.ts';
import type { Fuse } from './fuse.ts';

/** What the calls of a group work with. */
export interface CallContext {
  readonly rank: number;
  readonly peers: ReadonlyMap<number, Connection>;
  readonly segments: SegmentCache;
  readonly stream: Stream;
  readonly fuse: Fuse;
  /** See {@link ShmOptions.beforeReceive}. */
  readonly beforeReceive: ((root: number, sizeBytes: number, call: number) => Promise<void>) | undefined;
}

/** A broadcast that is pending at this member. */
export interface Call {
  /** Takes a peer's frame for this call. @throws {RangeError} The peer's call is another one than this. */
  accept(from: number, frame: CallFrame): void;
}
