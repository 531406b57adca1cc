import type { MemoryKind } from '@checkpoint-engine/interface';
import type { Contents } from '../buffers.ts';
import type { ProcessStats } from '../process-stats.ts';

/** What every member does, whatever it tests. Every operation takes at most one argument, of plain data. */
export interface MemberOperations {
  /** Allocates shareable memory under a name. Gives its kind: a host device has none but host memory. */
  allocate(args: { buffer: string; kind: MemoryKind; sizeBytes: number }): Promise<MemoryKind>;
  /** Writes patterns into ranges of a buffer and guard bytes between them. */
  fill(args: Contents): Promise<void>;
  /** Says what is wrong at the first wrong byte, guard bytes included, or gives `null`. */
  check(args: Contents): Promise<string | null>;
  stats(): Promise<ProcessStats>;
  /** Closes and releases all that tests have made, so that the next one finds nothing of it. */
  reset(): Promise<void>;
  /** Closes transport, device and store. */
  shutDown(): Promise<void>;
}

/** What a world does to a member from outside. */
export interface MemberControl {
  readonly rank: number;
  /** Ends the member without any warning (SIGKILL). Resolves when it is gone. */
  kill(): Promise<void>;
  /** Shuts the member down and waits until its process has ended by itself. Idempotent. */
  close(): Promise<void>;
}

/** A member as tests see it: its operations, wherever they run. */
export type Member<Operations extends MemberOperations> = Operations & MemberControl;

/** Runs an operation of a member by its name. */
export type CallOperation = (name: string, args: unknown) => Promise<unknown>;

/** Makes a member of a way to run its operations. */
export function makeMember<Operations extends MemberOperations>(
  control: MemberControl,
  call: CallOperation,
): Member<Operations> {
  return new Proxy(control as Member<Operations>, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name);
      if (typeof name === 'symbol' || name === 'then') return undefined; // a member is no promise
      return (args?: unknown) => call(name, args);
    },
  });
}
