import type { Stream } from '@checkpoint-engine/interface';
import type { SegmentCache } from '../memory/segment-cache.ts';
import type { Connection } from '../wire/connection.ts';
import type { CallFrame } from './frames.ts';
import type { Fuse } from './fuse.ts';

/** The environment of a group's calls. */
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
  /** Handles a peer's frame for this call. @throws {RangeError} The peer's call differs from this one. */
  accept(from: number, frame: CallFrame): void;
}
