import type { Segment } from '../memory/segment-cache.ts';
import type { Frame } from '../wire/frame-codec.ts';

/** Reader to owner: requests a lease on these ranges. */
export interface LeaseFrame extends Frame {
  readonly type: 'lease';
  readonly id: number;
  /** Keys of registrations. */
  readonly keys: readonly string[];
}

/** Location of a registered range. */
export interface GrantedRange extends Segment {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Owner to reader: grants the lease until the reader releases it. In the order of the keys. */
export interface GrantFrame extends Frame {
  readonly type: 'grant';
  readonly id: number;
  readonly ranges: readonly GrantedRange[];
  /** The owner keeps the lease for at least this long. */
  readonly leaseMs: number;
}

/** Owner to reader: refuses the lease, because one of the ranges is not registered. */
export interface RefuseFrame extends Frame {
  readonly type: 'refuse';
  readonly id: number;
  readonly key: string;
}

/** Reader to owner: releases the lease. */
export interface ReleaseFrame extends Frame {
  readonly type: 'release';
  readonly id: number;
}

/** Either side, last: it is closed. */
export interface ClosedFrame extends Frame {
  readonly type: 'closed';
}

/** Frames that owners receive. */
export type OwnerFrame = LeaseFrame | ReleaseFrame | ClosedFrame;
/** Frames that readers receive. */
export type ReaderFrame = GrantFrame | RefuseFrame | ClosedFrame;
