import type { P2PSupports, P2PTransport, RemoteMemory } from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import type { MemberOperations } from '../world/member.ts';
import type { MemberContext, MemberParts } from '../world/member-parts.ts';

/** Makes what one member of a P2P world is made of. */
export type P2PFactory = (context: MemberContext) => Promise<MemberParts & { readonly transport: P2PTransport }>;

/** What a transport says of itself. */
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
  /** The name that this member's own endpoint was opened by. */
  readonly endpoint: string;
  /** The owner's address. */
  readonly peer: string;
  readonly reads: readonly SliceRead[];
  readonly timeoutMs?: number | undefined;
  /** Gives the read a signal that has fired already. */
  readonly aborted?: boolean | undefined;
  /** Does the same read so often, one after another. @default 1 */
  readonly times?: number | undefined;
}

/** The operations of a member that owns and reads remote memory. */
export interface P2PMember extends MemberOperations {
  manifest(): Promise<P2PManifest>;
  /** Opens an endpoint and gives its address. */
  open(args: { endpoint: string }): Promise<string>;
  /** The address of one that is open. */
  address(args: { endpoint: string }): Promise<string>;
  closeEndpoint(args: { endpoint: string }): Promise<void>;
  /** Registers a range, which this suite calls `as`. */
  register(args: { endpoint: string; range: Slice; as: string }): Promise<RemoteMemory>;
  unregister(args: { as: string }): Promise<void>;
  /** Registers a range and takes it back, `times` times. */
  churn(args: { endpoint: string; range: Slice; times: number }): Promise<void>;
  read(args: ReadArguments): Promise<void>;
  /** Measures from now on how long this member's event loop is kept. */
  watchLoop(): Promise<void>;
  /** Ends the measurement and gives the longest time that the event loop was kept, in milliseconds. */
  longestLoopMs(): Promise<number>;
  closeTransport(): Promise<void>;
}
