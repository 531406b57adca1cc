import type { BroadcastSupports, BroadcastTransport, SerializedError } from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import type { Pattern } from '../pattern.ts';
import type { MemberOperations } from '../world/member.ts';
import type { MemberContext, MemberParts } from '../world/member-parts.ts';

/** Makes what one member of a broadcast world is made of. */
export type BroadcastFactory = (
  context: MemberContext,
) => Promise<MemberParts & { readonly transport: BroadcastTransport }>;

/** What a transport says of itself. */
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
  /** Fires the signal that join is given, this long after the call. */
  readonly abortAfterMs?: number | undefined;
}

/** The operations of a member of broadcast groups. Groups are known by the names that `join` gives them. */
export interface BroadcastMember extends MemberOperations {
  manifest(): Promise<BroadcastManifest>;
  /** Joins, and gives the group's members. */
  join(args: JoinArguments): Promise<readonly number[]>;
  broadcast(args: { group: string; root: number; target: Slice; source?: Slice | undefined }): Promise<void>;
  /** What other members open the buffer with. */
  handleOf(args: { buffer: string }): Promise<readonly number[]>;
  /** Opens another member's buffer, under a name. */
  open(args: { buffer: string; handle: readonly number[]; sizeBytes: number }): Promise<void>;
  /** Broadcasts into shared memory; the root fills it with a pattern, or fails to. */
  broadcastShared(args: {
    group: string;
    root: number;
    target: Slice;
    pattern?: Pattern | undefined;
    failure?: string | undefined;
  }): Promise<void>;
  /** Broadcasts one range `times` times, one after another, the roots taking turns. */
  repeat(args: { group: string; roots: readonly number[]; target: Slice; times: number }): Promise<void>;
  abort(args: { group: string; reason: SerializedError }): Promise<void>;
  /** Closes the group. */
  leave(args: { group: string }): Promise<void>;
  closeTransport(): Promise<void>;
}
