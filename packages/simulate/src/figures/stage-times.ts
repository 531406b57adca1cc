import type { CriticalStep } from '../engine/critical-path.ts';
import { STAGE_NAMES, type Task } from '../engine/task.ts';
import type { StageTime } from '../result.ts';

/** Time, bytes and steps by stage, in the order of the stages. */
export function stageTimes(tasks: readonly Task[], path: readonly CriticalStep[]): StageTime[] {
  return STAGE_NAMES.flatMap((stage) => {
    const own = tasks.filter((task) => task.stage === stage && task.endMs > task.startMs);
    if (own.length === 0) return [];
    const critical = path.filter((step) => step.stage === stage);
    return [
      {
        stage,
        fromMs: own.reduce((least, { startMs }) => Math.min(least, startMs), Number.POSITIVE_INFINITY),
        toMs: own.reduce((most, { endMs }) => Math.max(most, endMs), 0),
        busyMs: busyMs(own),
        criticalMs: critical.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0),
        steps: own.length,
        sizeBytes: own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      },
    ];
  });
}

function busyMs(tasks: readonly Task[]): number {
  let [sum, endMs] = [0, 0];
  for (const task of tasks.toSorted((a, b) => a.startMs - b.startMs)) {
    sum += Math.max(0, task.endMs - Math.max(endMs, task.startMs));
    endMs = Math.max(endMs, task.endMs);
  }
  return sum;
}
