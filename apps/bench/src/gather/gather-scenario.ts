import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freePort } from '@checkpoint-engine/cli';
import { describeMachine } from '../report/machine.ts';
import { publish } from '../report/publish.ts';
import type { ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { message, start } from '../world/children.ts';
import type { GatherRound, GatherTask } from './gather-main.ts';

/** The options of `bench gather`. */
export interface GatherScenarioOptions {
  /** World sizes. */
  readonly ranks: readonly number[];
  /** Number of processes that contain the ranks. */
  readonly processes: number;
  /** Gathers of new metas, each followed by a gather of the same metas. */
  readonly rounds: number;
  readonly json?: string | undefined;
}

interface WorldRound {
  readonly ms: number;
  readonly loopbackBytes: number;
  readonly givenBytes: number;
  readonly isEqual: boolean;
  readonly wrong: number;
}

/** A process has at most 1,023 sockets of ZeroMQ. */
const RANKS_A_PROCESS = 1_000;

/** The target on two cores. */
const TARGETS_MS: ReadonlyMap<number, number> = new Map([
  [256, 500],
  [1024, 2_000],
]);

/** All ranks of a large world exchange their metas of Kimi-K2; each rank has its own connection. */
export async function gatherScenario(options: GatherScenarioOptions): Promise<void> {
  const rows: ResultRow[] = [];
  const targets: Target[] = [];
  for (const ranks of options.ranks) {
    const processes = Math.min(Math.max(options.processes, Math.ceil(ranks / RANKS_A_PROCESS)), ranks);
    const rounds = await runWorld(ranks, processes, options.rounds);
    const fresh = rounds.filter((_, round) => round % 2 === 0);
    const same = rounds.filter((_, round) => round % 2 === 1);
    rows.push(rowOf(ranks, processes, 'gather', fresh), rowOf(ranks, processes, 'gather again', same));
    const atMost = TARGETS_MS.get(ranks);
    const measured = median(fresh.map(({ ms }) => ms));
    if (atMost !== undefined) targets.push({ what: `gather, ${ranks} ranks`, measured, atMost, unit: 'ms' });
  }
  const [first] = rows;
  publish(
    {
      scenario: 'gather',
      title: `${first!.ranks} ranks know what each of them holds of Kimi-K2 after ${median(first!.samplesMs).toFixed(0)} ms`,
      machine: describeMachine(),
      options: { ranks: options.ranks.join(','), processes: options.processes, rounds: options.rounds },
      rows,
      targets,
      notes: [
        'From the barrier before the first call to the last return at any rank. Ranks are simulated: several live in a process, each with its own connection, and each receives all metas. Metas that a process has decoded for one of its ranks are not decoded again for another, so decoding (about 60 ms, on its own core in a real world) is paid once per process.',
        '`gather again` is the gather of tensors that were gathered before: a new version of the same checkpoint.',
        'wireBytes: bytes on the loopback interface, including TCP and heartbeats, both directions of a connection counted once. Rank 0 and the store are in one process, and its own traffic is counted too.',
        'The Python tool reports 1.22 s for Kimi-K2 on 256 GPUs (its README); that is another machine, with a process and a network card for each rank.',
      ],
    },
    options,
  );
}

function rowOf(ranks: number, processes: number, what: string, rounds: readonly WorldRound[]): ResultRow {
  return {
    by: 'checkpoint-engine',
    what,
    model: 'Kimi-K2',
    ranks,
    settings: { processes },
    samplesMs: rounds.map(({ ms }) => ms),
    wireBytes: median(rounds.map(({ loopbackBytes }) => loopbackBytes)),
    figures: { givenBytes: rounds[0]!.givenBytes },
    checked: ranks * rounds.length,
    wrong: rounds.reduce((sum, { wrong, isEqual }) => sum + (isEqual ? wrong : ranks), 0),
  };
}

async function runWorld(worldSize: number, processes: number, roundCount: number): Promise<WorldRound[]> {
  const port = await freePort();
  const edge = (at: number): number => Math.round((worldSize * at) / processes);
  const children: ChildProcess[] = Array.from({ length: processes }, (_, at) => {
    const task: GatherTask = {
      port,
      worldSize,
      fromRank: edge(at),
      toRank: edge(at + 1),
      rounds: 2 * roundCount,
    };
    return start('../gather/gather-main', [JSON.stringify(task)]);
  });
  try {
    const rounds: WorldRound[] = [];
    for (let round = 0; round < 2 * roundCount; round++) {
      const before = loopbackBytes();
      const figures = await Promise.all(children.map((child) => message<GatherRound>(child)));
      const sum = (of: (one: GatherRound) => number): number => figures.reduce((total, one) => total + of(one), 0);
      rounds.push({
        ms: Math.max(...figures.map((one) => one.endedAtMs)) - Math.min(...figures.map((one) => one.startedAtMs)),
        loopbackBytes: loopbackBytes() - before,
        givenBytes: sum((one) => one.givenBytes),
        isEqual: new Set(figures.flatMap(({ digests }) => digests)).size === 1,
        wrong: sum((one) => one.wrong),
      });
    }
    return rounds;
  } catch (error) {
    for (const child of children) child.kill('SIGKILL');
    throw error;
  }
}

/** The bytes that the loopback interface has sent. */
function loopbackBytes(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((one) => one.trim().startsWith('lo:'));
  return Number(line?.trim().split(/[:\s]+/)[9] ?? 0);
}
