import type { P2PSupports, P2PTransport, RemoteMemory } from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import type { MemberOperations } from '../world/member.ts';
import type { MemberContext, MemberParts } from '../world/member-parts.ts';

/** Creates the parts of one member of a P2P world. */
export type P2PFactory = (context: MemberContext) => Promise<MemberParts & { readonly transport: P2PTransport }>;

/** The properties that the transport declares. */
export interface P2PManifest {
  readonly specVersion: number;
  readonly name: string;
  readonly supports: P2PSupports;
}

/** One read of {@link ReadArguments}. */
export interface SliceRead {
  readonly remote: RemoteMemory;
  readonly remoteOffsetBytes: number;
  readonly local: Slice;
}

/** Arguments of {@link P2PMember.read}. */
export interface ReadArguments {
  /** The name of this member's own endpoint. */
  readonly endpoint: string;
  /** The owner's address. */
  readonly peer: string;
  readonly reads: readonly SliceRead[];
  readonly timeoutMs?: number | undefined;
  /** Whether to pass a signal that has already fired. */
  readonly aborted?: boolean | undefined;
  /** Number of times to do the same read in sequence. @default 1 */
  readonly times?: number | undefined;
}

/** The operations of a member that owns and reads remote memory. */
export interface P2PMember extends MemberOperations {
  manifest(): Promise<P2PManifest>;
  /** Opens an endpoint and returns its address. */
  open(args: { endpoint: string }): Promise<string>;
  /** Returns the address of an open endpoint. */
  address(args: { endpoint: string }): Promise<string>;
  closeEndpoint(args: { endpoint: string }): Promise<void>;
  /** Registers a range under the name `as`. */
  register(args: { endpoint: string; range: Slice; as: string }): Promise<RemoteMemory>;
  unregister(args: { as: string }): Promise<void>;
  /** Registers and withdraws a range, `times` times. */
  churn(args: { endpoint: string; range: Slice; times: number }): Promise<void>;
  read(args: ReadArguments): Promise<void>;
  /** Starts to measure the delays of this member's event loop. */
  watchLoop(): Promise<void>;
  /** Ends the measurement and returns the longest time for which the event loop was blocked, in milliseconds. */
  longestLoopMs(): Promise<number>;
  closeTransport(): Promise<void>;
}
