import type { Path } from './link.ts';

/** Stages of an update, in the order in which bytes pass through them. */
export const STAGE_NAMES = [
  'meet',
  'handshake',
  'read',
  'h2d',
  'broadcast',
  'barrier',
  'reload',
  'pull',
  'release',
  'hook',
] as const;
/** Name of a stage. */
export type StageName = (typeof STAGE_NAMES)[number];

/** A step of an update. It begins when all steps before it have ended. */
export interface Task {
  readonly stage: StageName;
  /** The rank that runs it; -1 for all ranks. */
  readonly rank: number;
  /** Number of the bucket or chunk; -1 for none. */
  readonly index: number;
  /** Time before its bytes move. */
  readonly fixedMs: number;
  readonly sizeBytes: number;
  /** Absent if no bytes move over links. */
  readonly path: Path | undefined;
  readonly after: readonly Task[];
  startMs: number;
  endMs: number;
  /** The previous step that ended last. */
  cause: Task | undefined;
}

/** Description of a step by a method. */
export interface TaskInput {
  readonly stage: StageName;
  readonly rank?: number;
  readonly index?: number;
  readonly fixedMs?: number;
  readonly sizeBytes?: number;
  readonly path?: Path | undefined;
  readonly after?: readonly (Task | undefined)[];
}

/** Collects the steps of an update. */
export class TaskList {
  readonly tasks: Task[] = [];

  add({ stage, rank = -1, index = -1, fixedMs = 0, sizeBytes = 0, path, after = [] }: TaskInput): Task {
    const before = after.filter((task) => task !== undefined);
    const task: Task = {
      stage,
      rank,
      index,
      fixedMs,
      sizeBytes,
      path,
      after: before,
      startMs: -1,
      endMs: -1,
      cause: undefined,
    };
    this.tasks.push(task);
    return task;
  }
}
