import type { WireError } from './wire-error.ts';
import type { Kind } from './world.ts';

/** The configuration that a member's process receives on its command line, as JSON. */
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

/** Messages from a member's process: first whether it is ready, with {@link readyId}, then results. */
export type MemberReply =
  | { readonly id: number; readonly value?: unknown }
  | { readonly id: number; readonly error: WireError };

/** The id of the first reply, which answers no call: the member is ready. */
export const readyId = -1;

/** Address of the world's store: a name in the abstract socket namespace of Linux. */
export function storePath(worldName: string): string {
  return `\0${worldName}`;
}
