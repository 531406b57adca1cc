import type { WireError } from './wire-error.ts';
import type { Kind } from './world.ts';

/** What a member's process is told on its command line, as JSON. */
export interface MemberArguments {
  readonly kind: Kind;
  /** URL of the factory's module. */
  readonly factory: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly worldName: string;
}

/** One operation to run. */
export interface MemberRequest {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

/** What a member's process sends: first that it is ready (or why not) under {@link readyId}, then results. */
export type MemberReply =
  | { readonly id: number; readonly value?: unknown }
  | { readonly id: number; readonly error: WireError };

/** The id of the reply that nobody asked for: the member is ready. */
export const readyId = -1;

/** Where the world's store listens: a name in Linux' abstract socket namespace. */
export function storePath(worldName: string): string {
  return `\0${worldName}`;
}
