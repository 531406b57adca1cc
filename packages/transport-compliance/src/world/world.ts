import type { BroadcastFactory, BroadcastMember } from '../broadcast/broadcast-member.ts';
import type { P2PFactory, P2PMember } from '../p2p/p2p-member.ts';
import type { Member } from './member.ts';

/** The kinds of tested components, and how to create their members. */
export interface Kinds {
  readonly broadcast: { readonly operations: BroadcastMember; readonly factory: BroadcastFactory };
  readonly p2p: { readonly operations: P2PMember; readonly factory: P2PFactory };
}

/** `broadcast` or `p2p`. */
export type Kind = keyof Kinds;

/**
 * Creates members: a function, for members in this process, or the URL of a module that exports functions named
 * `broadcast` and `p2p`, for members anywhere.
 */
export type Factory<K extends Kind> = Kinds[K]['factory'] | URL;

/** Where members run. */
export interface World {
  /** Describes where the members run, for the suite's title: `in process`. */
  readonly name: string;
  /** The reason why members cannot be killed here, if that is so. */
  readonly cannotKill?: string | undefined;
  /** Starts the members of a new world, ranks 0 to `size - 1`. */
  start<K extends Kind>(kind: K, factory: Factory<K>, size: number): Promise<Member<Kinds[K]['operations']>[]>;
}
