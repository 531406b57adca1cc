import type { SerializedError } from '@checkpoint-engine/interface';
import type { FromRank, ToRank } from '../../process/messages.ts';
import type { RankExit } from '../../process/rank-port.ts';

/** A message from host 0 to another host. */
export type ToNode =
  /** Host 0 is ready. */
  | { readonly type: 'welcome' }
  /** The other host does not match and ends. */
  | { readonly type: 'refused'; readonly error: SerializedError }
  | { readonly type: 'start'; readonly rank: number; readonly env: Readonly<Record<string, string>> }
  | { readonly type: 'send'; readonly rank: number; readonly message: ToRank }
  | { readonly type: 'close' | 'kill'; readonly rank: number }
  /** The server ends, and the other host ends as well. */
  | { readonly type: 'bye' };

/** A message from another host to host 0. */
export type FromNode =
  | { readonly type: 'hello'; readonly nprocPerNode: number }
  | { readonly type: 'message'; readonly rank: number; readonly message: FromRank }
  | { readonly type: 'log'; readonly rank: number; readonly line: string }
  | { readonly type: 'exit'; readonly rank: number; readonly exit: RankExit };

/** The key in the hosts' store under which a host announces itself and the name of its scope. */
export function nodeKey(node: number): string {
  return `node:${node}`;
}

/** The scope that a host shares with host 0. A host that returns has a new one. */
export function nodeScope(node: number, incarnation: string): string {
  return `node:${node}:${incarnation}`;
}
