// Measures the cost of unknown peers for a world. They connect to one of its addresses, and run on another CPU.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

const ROUNDS = Number(process.env.PACE_ROUNDS ?? 6);
const UPDATES = 6;
/** Pause before updates are measured. */
const REST_MS = 300;
const MAX_TIMES = Number(process.env.PACE_MAX_TIMES ?? 1.2);
const [WORLD_CPU, PEERS_CPU] = cpus();

/** The behavior of unknown peers. */
export const MODES = ['idle', 'dribble', 'flood', 'garbage'] as const;

/** A world whose pace is measured. */
export interface PacedWorld {
  /** For the log. */
  readonly what: string;
  /** All of its processes. */
  readonly pids: readonly number[];
  /** The sockets to which unknown peers connect: `{ port }`, or `{ pids, names }` for abstract sockets. */
  readonly address: object;
  update(): Promise<unknown>;
}

/** Pins the processes, and this one, to a CPU that the peers do not use. */
export function pinWorld(pids: readonly number[]): void {
  for (const pid of [process.pid, ...pids]) pin(pid, WORLD_CPU);
}

/** Warms the world up, so that the first updates do not count. */
export async function warmUp(world: PacedWorld): Promise<void> {
  await measure(world, 40);
}

/** Expects that updates with 64 unknown peers cost the world at most 1.2 times as much CPU as without them. */
export async function expectPace(world: PacedWorld, mode: (typeof MODES)[number]): Promise<void> {
  const alone: Cost[] = [];
  const withPeers: Cost[] = [];
  let connections = 0;
  // The two measurements alternate, so that other load affects both.
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(...(await measure(world, UPDATES)));
    const peers = await startPeers(mode, world.address);
    withPeers.push(...(await measure(world, UPDATES)));
    connections += await endPeers(peers);
  }
  const [wall, cpu] = [compare(alone, withPeers, 'wallMs'), compare(alone, withPeers, 'cpuMs')];
  const figures = `${cpu.figures} of CPU, ${wall.figures} from start to end`;
  console.info(`${world.what}, ${mode}: ${figures} (medians of ${alone.length}, ${connections} connections)`);
  expect(connections).toBeGreaterThanOrEqual(64);
  expect(cpu.times).toBeLessThan(MAX_TIMES);
}

async function measure({ pids, update }: PacedWorld, count: number): Promise<Cost[]> {
  const costs: Cost[] = [];
  // Peers connect during the pause. Without peers there is the same pause, so that both measurements start idle.
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  for (let i = 0; i < count; i++) {
    const [startedAt, cpuMs] = [performance.now(), cpuMsOf(pids)];
    await update();
    costs.push({ wallMs: performance.now() - startedAt, cpuMs: cpuMsOf(pids) - cpuMs });
  }
  return costs;
}

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

function compare(alone: readonly Cost[], withPeers: readonly Cost[], what: keyof Cost) {
  const [aloneMs, withPeersMs] = [
    medianOf(alone.map((cost) => cost[what])),
    medianOf(withPeers.map((cost) => cost[what])),
  ];
  const times = withPeersMs / aloneMs;
  return { times, figures: `${times.toFixed(2)} times (${aloneMs.toFixed(1)} to ${withPeersMs.toFixed(1)} ms)` };
}

/** CPU time of all threads of the processes. */
function cpuMsOf(pids: readonly number[]): number {
  let sumMs = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sumMs += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    }
  }
  return sumMs;
}

const medianOf = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** The first two CPUs that this process may use. */
function cpus(): [number, number] {
  const [, list = ''] = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  const all = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  if (all.length < 2) throw new Error(`The test of the pace needs two CPUs, this process may use CPU ${list}`);
  return [all[0]!, all[1]!];
}

function pin(pid: number, cpu: number): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(cpu), String(pid)], { stdio: 'ignore' });
}

async function startPeers(mode: string, address: object): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('./unknown-peers-process.mjs', import.meta.url));
  const peers = fork(program, [mode, JSON.stringify(address)]);
  await once(peers, 'message');
  pin(peers.pid!, PEERS_CPU);
  return peers;
}

/** Returns how many connections they made. */
async function endPeers(peers: ChildProcess): Promise<number> {
  const answered = once(peers, 'message');
  peers.send('total');
  const [{ total }] = (await answered) as [{ total: number }];
  const exited = once(peers, 'exit');
  peers.kill('SIGKILL');
  await exited;
  return total;
}
