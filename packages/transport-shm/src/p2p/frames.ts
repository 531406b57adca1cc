import type { Segment } from '../memory/segment-cache.ts';
import type { Frame } from '../wire/frame-codec.ts';

/** Reader to owner: may I read these ranges? */
export interface LeaseFrame extends Frame {
  readonly type: 'lease';
  readonly id: number;
  /** Keys of registrations. */
  readonly keys: readonly string[];
}

/** Where a registered range lies. */
export interface GrantedRange extends Segment {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Owner to reader: yes, until you release them. In the order of the keys. */
export interface GrantFrame extends Frame {
  readonly type: 'grant';
  readonly id: number;
  readonly ranges: readonly GrantedRange[];
  /** The owner does not take the lease away before so long has passed. */
  readonly leaseMs: number;
}

/** Owner to reader: no, one of them is not registered. */
export interface RefuseFrame extends Frame {
  readonly type: 'refuse';
  readonly id: number;
  readonly key: string;
}

/** Reader to owner: done with the lease. */
export interface ReleaseFrame extends Frame {
  readonly type: 'release';
  readonly id: number;
}

/** Either side, last: it is closed. */
export interface ClosedFrame extends Frame {
  readonly type: 'closed';
}

/** What owners get. */
export type OwnerFrame = LeaseFrame | ReleaseFrame | ClosedFrame;
/** What readers get. */
export type ReaderFrame = GrantFrame | RefuseFrame | ClosedFrame;
