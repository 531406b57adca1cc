import type { BroadcastSupports, BroadcastTransport, SerializedError } from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import type { Pattern } from '../pattern.ts';
import type { MemberOperations } from '../world/member.ts';
import type { MemberContext, MemberParts } from '../world/member-parts.ts';

/** Creates the parts of one member of a broadcast world. */
export type BroadcastFactory = (
  context: MemberContext,
) => Promise<MemberParts & { readonly transport: BroadcastTransport }>;

/** The properties that the transport declares. */
export interface BroadcastManifest {
  readonly specVersion: number;
  readonly name: string;
  readonly supports: BroadcastSupports;
}

/** Arguments of {@link BroadcastMember.join}. */
export interface JoinArguments {
  /** Name of the group, in this suite and in the store. */
  readonly group: string;
  readonly members: readonly number[];
  readonly timeoutMs?: number | undefined;
  /** Aborts the signal of the join after this time. */
  readonly abortAfterMs?: number | undefined;
}

/** The operations of a member of broadcast groups. The names passed to `join` identify groups. */
export interface BroadcastMember extends MemberOperations {
  manifest(): Promise<BroadcastManifest>;
  /** Joins a group and returns its members. */
  join(args: JoinArguments): Promise<readonly number[]>;
  broadcast(args: { group: string; root: number; target: Slice; source?: Slice | undefined }): Promise<void>;
  /** Returns the handle with which other members open the buffer. */
  handleOf(args: { buffer: string }): Promise<readonly number[]>;
  /** Opens another member's buffer under a name. */
  open(args: { buffer: string; handle: readonly number[]; sizeBytes: number }): Promise<void>;
  /** Broadcasts into shared memory; the root fills it with a pattern, or throws. */
  broadcastShared(args: {
    group: string;
    root: number;
    target: Slice;
    pattern?: Pattern | undefined;
    failure?: string | undefined;
  }): Promise<void>;
  /** Broadcasts one range `times` times in sequence; the roots take turns. */
  repeat(args: { group: string; roots: readonly number[]; target: Slice; times: number }): Promise<void>;
  abort(args: { group: string; reason: SerializedError }): Promise<void>;
  /** Closes the group. */
  leave(args: { group: string }): Promise<void>;
  closeTransport(): Promise<void>;
}
