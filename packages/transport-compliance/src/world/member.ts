import type { MemoryKind } from '@checkpoint-engine/interface';
import type { Contents } from '../buffers.ts';
import type { ProcessStats } from '../process-stats.ts';

/** The operations that every member has. Each operation takes at most one argument, of plain data. */
export interface MemberOperations {
  /** Allocates shareable memory under a name. Returns its kind: a host device only has host memory. */
  allocate(args: { buffer: string; kind: MemoryKind; sizeBytes: number }): Promise<MemoryKind>;
  /** Writes patterns into ranges of a buffer and guard bytes between them. */
  fill(args: Contents): Promise<void>;
  /** Describes the first wrong byte, including guard bytes, or returns `null`. */
  check(args: Contents): Promise<string | null>;
  stats(): Promise<ProcessStats>;
  /** Closes and releases everything that tests have created, so that the next test starts clean. */
  reset(): Promise<void>;
  /** Closes transport, device and store. */
  shutDown(): Promise<void>;
}

/** The operations of a world on a member. */
export interface MemberControl {
  readonly rank: number;
  /** Ends the member without any warning (SIGKILL). Resolves when it is gone. */
  kill(): Promise<void>;
  /** Shuts the member down and waits until its process has ended by itself. Idempotent. */
  close(): Promise<void>;
}

/** A member as tests see it: its operations, wherever they run. */
export type Member<Operations extends MemberOperations> = Operations & MemberControl;

/** Runs an operation of a member, selected by its name. */
export type CallOperation = (name: string, args: unknown) => Promise<unknown>;

/** Creates a member from a function that runs its operations. */
export function makeMember<Operations extends MemberOperations>(
  control: MemberControl,
  call: CallOperation,
): Member<Operations> {
  return new Proxy(control as Member<Operations>, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name);
      if (typeof name === 'symbol' || name === 'then') return undefined; // A member must not look like a promise.
      return (args?: unknown) => call(name, args);
    },
  });
}
