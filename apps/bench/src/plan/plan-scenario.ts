import { modelOf } from '@checkpoint-engine/model-tensors';
import { describeMachine } from '../report/machine.ts';
import { publish } from '../report/publish.ts';
import type { ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { message, start } from '../world/children.ts';
import type { PlanFigures } from './plan-main.ts';

/** The options of `bench plan`. */
export interface PlanScenarioOptions {
  readonly owners: number;
  /** Number of new processes. The first plan of a process runs code that is not compiled yet, and delays an update. */
  readonly processes: number;
  /** Plans in each process. */
  readonly rounds: number;
  readonly json?: string | undefined;
}

/** Buckets grow to Kimi-K2's largest tensor of 2.19 GiB, and are filled to the size that is best for GPUs. */
const BUCKET_BYTES = 4 * 2 ** 30;
const FILL_BYTES = 128 * 2 ** 20;
const TARGET_MS = 30;

/** Plans an update of Kimi-K2. Every rank does this work before any data moves. */
export async function planScenario(options: PlanScenarioOptions): Promise<void> {
  const { owners, processes, rounds } = options;
  const figures: PlanFigures[] = [];
  for (let at = 0; at < processes; at++) {
    const args = [owners, rounds, BUCKET_BYTES, FILL_BYTES].map(String);
    figures.push(await message<PlanFigures>(start('../plan/plan-main', args)));
  }
  const [{ bucketCount, tensorCount }] = figures as [PlanFigures];
  const wanted = modelOf('kimi-k2').tensors().length;
  const rowOf = (what: string, pick: (of: readonly number[]) => readonly number[]): ResultRow => ({
    by: 'checkpoint-engine',
    what,
    model: 'Kimi-K2',
    ranks: owners,
    bucketBytes: FILL_BYTES,
    samplesMs: figures.flatMap(({ ms }) => pick(ms)),
    figures: {
      busyMs: median(figures.flatMap(({ busyMs }) => pick(busyMs))),
      groupsBusyMs: median(figures.map(({ groupsBusyMs }) => groupsBusyMs)),
      bucketCount,
    },
  });
  const first = rowOf('plan, first of a process', (of) => of.slice(0, 1));
  const later = rowOf('plan, later', (of) => of.slice(1));
  const isRight = tensorCount === wanted && new Set(figures.map(({ digest }) => digest)).size === 1;
  publish(
    {
      scenario: 'plan',
      title: `${tensorCount} tensors of ${owners} owners are planned in ${median(first.samplesMs).toFixed(0)} ms`,
      machine: describeMachine(),
      options: { owners, processes, rounds },
      rows: [{ ...first, checked: processes, wrong: isRight ? 0 : processes }, later],
      targets: [
        {
          what: `plan, ${owners} owners, time on a core`,
          measured: first.figures!.busyMs!,
          atMost: TARGET_MS,
          unit: 'ms',
        },
      ],
      notes: [
        'busyMs is the time that the planning thread was on a core; on a machine with other load, elapsed time says little.',
        'groupsBusyMs is the time to find the tensors that must stay together, once when metas are gathered: a plan of the same metas does not need it again.',
        'The Python tool takes 61 to 73 ms for the same list of tensors (measured separately, on another machine).',
      ],
    },
    options,
  );
}
