import type { SerializedError } from '@checkpoint-engine/interface';
import type { FromRank, ToRank } from '../../process/messages.ts';
import type { RankExit } from '../../process/rank-port.ts';

/** What the first host says to another one. */
export type ToNode =
  /** It is there, and listens. */
  | { readonly type: 'welcome' }
  /** The other host does not fit: it ends. */
  | { readonly type: 'refused'; readonly error: SerializedError }
  | { readonly type: 'start'; readonly rank: number; readonly env: Readonly<Record<string, string>> }
  | { readonly type: 'send'; readonly rank: number; readonly message: ToRank }
  | { readonly type: 'close' | 'kill'; readonly rank: number }
  /** All is over: the other host ends, too. */
  | { readonly type: 'bye' };

/** What another host says to the first one. */
export type FromNode =
  | { readonly type: 'hello'; readonly nprocPerNode: number }
  | { readonly type: 'message'; readonly rank: number; readonly message: FromRank }
  | { readonly type: 'log'; readonly rank: number; readonly line: string }
  | { readonly type: 'exit'; readonly rank: number; readonly exit: RankExit };

/** The key of the hosts' store under which a host says that it is there, and by which name its scope goes. */
export function nodeKey(node: number): string {
  return `node:${node}`;
}

/** The scope that a host shares with the first one. A host that comes back has a new one. */
export function nodeScope(node: number, incarnation: string): string {
  return `node:${node}:${incarnation}`;
}
