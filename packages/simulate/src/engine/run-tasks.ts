import { EventHeap } from './event-heap.ts';
import { FairNetwork } from './fair-network.ts';
import type { Link } from './link.ts';
import { type Task, TaskList } from './task.ts';

/** The result when all steps have run. */
export interface Ran {
  readonly tasks: readonly Task[];
  readonly links: readonly Link[];
  readonly totalMs: number;
  /** The step that ended last. */
  readonly last: Task | undefined;
}

/**
 * Runs the steps of an update on links that they share.
 *
 * Events of the same time run in the order in which they were scheduled, so equal input gives equal output.
 *
 * @param build Adds the links and the steps.
 */
export function runTasks(build: (list: TaskList, network: FairNetwork) => void): Ran {
  const heap = new EventHeap();
  let turn = 0;
  const schedule = (atMs: number, run: () => void): void => heap.push({ atMs, turn: turn++, run });
  const network = new FairNetwork(schedule);
  const list = new TaskList();
  build(list, network);

  const { tasks } = list;
  const waiting = new Map<Task, number>();
  const next = new Map<Task, Task[]>();
  let nowMs = 0;
  let last: Task | undefined;
  const end = (task: Task): void => {
    task.endMs = nowMs;
    last = task;
    for (const follower of next.get(task) ?? []) {
      const left = waiting.get(follower)! - 1;
      waiting.set(follower, left);
      if (left > 0) continue;
      follower.cause = task;
      begin(follower);
    }
  };
  const move = (task: Task): void => {
    if (task.path === undefined || task.path.length === 0 || task.sizeBytes === 0) end(task);
    else network.start(nowMs, task.path, task.sizeBytes, () => end(task));
  };
  const begin = (task: Task): void => {
    task.startMs = nowMs;
    if (task.fixedMs > 0) schedule(nowMs + task.fixedMs, () => move(task));
    else move(task);
  };
  for (const task of tasks) {
    waiting.set(task, task.after.length);
    for (const before of task.after) {
      const followers = next.get(before);
      if (followers === undefined) next.set(before, [task]);
      else followers.push(task);
    }
  }
  for (const task of tasks) if (task.after.length === 0) schedule(0, () => begin(task));
  for (let event = heap.pop(); event !== undefined; event = heap.pop()) {
    nowMs = event.atMs;
    event.run();
    if (heap.next?.atMs !== nowMs) network.settle(nowMs);
  }
  if (tasks.some(({ endMs }) => endMs < 0)) throw new Error('Steps of the update wait for each other in a cycle');
  return { tasks, links: network.links, totalMs: nowMs === 0 ? 0 : (last?.endMs ?? 0), last };
}
