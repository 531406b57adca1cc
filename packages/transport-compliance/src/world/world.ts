import type { BroadcastFactory, BroadcastMember } from '../broadcast/broadcast-member.ts';
import type { P2PFactory, P2PMember } from '../p2p/p2p-member.ts';
import type { Member } from './member.ts';

/** What is tested, and how its members are made. */
export interface Kinds {
  readonly broadcast: { readonly operations: BroadcastMember; readonly factory: BroadcastFactory };
  readonly p2p: { readonly operations: P2PMember; readonly factory: P2PFactory };
}

/** `broadcast` or `p2p`. */
export type Kind = keyof Kinds;

/**
 * How members are made: a function, for members in this process, or the URL of a module that exports functions named
 * `broadcast` and `p2p`, for members anywhere.
 */
export type Factory<K extends Kind> = Kinds[K]['factory'] | URL;

/** Where members live. */
export interface World {
  /** How the members live, for the suite's title: `in process`. */
  readonly name: string;
  /** Why members cannot be killed here, where they cannot. */
  readonly cannotKill?: string | undefined;
  /** Starts the members of a new world, ranks 0 to `size - 1`. */
  start<K extends Kind>(kind: K, factory: Factory<K>, size: number): Promise<Member<Kinds[K]['operations']>[]>;
}
