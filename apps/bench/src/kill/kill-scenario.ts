import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@checkpoint-engine/cli';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { formatBytes } from '@checkpoint-engine/planner';
import { printTable } from '../report/table.ts';
import { countGpus } from '../world/count-gpus.ts';
import { DrivenProcess } from '../world/driven-process.ts';
import { sharedGpu } from '../world/shared-gpu.ts';
import type { KillRank, KillRankTask } from './kill-rank.ts';
import { MemoryLog, type MemoryLook } from './memory-log.ts';
import { ourReceiver, pythonReceiver, type Receiver } from './receivers.ts';

/** What `bench kill` is asked to do. */
export interface KillScenarioOptions {
  readonly dir: string;
  readonly ranks: number;
  readonly device: 'cuda' | 'host';
  /** `python`: the unmodified worker of the Python tool; `ours`: a worker in TypeScript. On the host there is only ours. */
  readonly receiver: 'python' | 'ours';
  readonly python: string;
  readonly bucketBytes: number;
  readonly json?: string | undefined;
}

/** How soon the others have to know who died. */
const LOSS_MS = 10_000;
/** What a driver may keep of its own between two looks at the same state. */
const SLACK_BYTES = 64 * 2 ** 20;

/** Between two looks at memory that may still be given back, and the most time for that. */
const SETTLE_MS = 250;
const MOST_SETTLE_MS = 5_000;

/** How one survivor heard of the death. */
interface Report {
  readonly rank: number;
  readonly ms: number;
  readonly error: string;
  readonly namesIt: boolean;
}

/**
 * Kills one rank in the middle of a broadcast. The others have to reject with its name, and to give device memory back;
 * restarted, it takes part in an update that brings the right bytes.
 */
export async function killScenario(options: KillScenarioOptions): Promise<boolean> {
  const world = await KillWorld.start(options);
  const { ranks, device, json } = options;
  try {
    await world.update({ releaseCommunicators: true });
    const before = await world.settled('an update that released its communicators');
    await world.update({});
    const held = await world.settled('one that kept them');
    const reports = await world.kill(ranks - 1);
    await world.look('the kill, survivors', ranks - 1);
    await world.restart(ranks - 1);
    await world.settled('the restart');
    const wrongBefore = await world.wrong();
    await world.look('comparing with the files');
    await world.update({ releaseCommunicators: true });
    await world.look('an update that released, at once');
    const after = await world.settled('the same, settled', before);
    await world.update({});
    const wrong = await world.wrong();
    const endedWell = await world.end();
    const more = (look: MemoryLook): number =>
      device === 'cuda' ? Math.max(...look.usedBytes.map((used, index) => used - before.usedBytes[index]!)) : 0;
    const kept = more(after);
    const ok =
      reports.every(({ namesIt, ms }) => namesIt && ms < LOSS_MS) && kept < SLACK_BYTES && wrong === 0 && endedWell;
    const memoryRows = [
      ['communicators hold', formatBytes(Math.max(0, more(held))), ''],
      ['device memory kept', formatBytes(Math.max(0, kept)), `less than ${formatBytes(SLACK_BYTES)}`],
    ];
    printTable(
      ['what', 'measured', 'wanted'],
      [
        ['world', `${ranks} ranks, device ${device}`, ''],
        ['killed', `rank ${ranks - 1}, in its third broadcast`, ''],
        ...reports.map(({ rank, ms, error }) => [
          `rank ${rank} rejected`,
          `${ms.toFixed(0)} ms: ${error}`,
          `${LOSS_MS} ms: RankLostError that names rank ${ranks - 1}`,
        ]),
        ...(device === 'host' ? [] : memoryRows),
        ['#wrong', String(wrong), `0, after the restarted world has updated (${wrongBefore} before it)`],
        ['ranks ended by themselves', endedWell ? 'yes' : 'no', 'yes'],
      ],
    );
    if (device === 'cuda') world.memory.print();
    if (json !== undefined) {
      const { looks } = world.memory;
      const figures = { version: 2, scenario: 'kill', ...options, reports, looks, kept, wrong, ok };
      writeFileSync(json, `${JSON.stringify(figures, undefined, 2)}\n`);
    }
    return ok;
  } finally {
    await world.end();
  }
}

/** The ranks and what stands behind them. */
class KillWorld {
  readonly #options: KillScenarioOptions;
  readonly #files: readonly string[];
  readonly #gpus: number;
  readonly #port: number;
  readonly #ranks: KillRank[] = [];
  readonly #receivers: Receiver[] = [];
  readonly memory = new MemoryLog();

  private constructor(options: KillScenarioOptions, files: readonly string[], gpus: number, port: number) {
    this.#options = options;
    this.#files = files;
    this.#gpus = gpus;
    this.#port = port;
  }

  static async start(options: KillScenarioOptions): Promise<KillWorld> {
    const { files } = await readCheckpoint(options.dir);
    const gpus = options.device === 'cuda' ? await countGpus() : 0;
    const world = new KillWorld(
      options,
      files.map(({ path }) => path),
      gpus,
      await freePort(),
    );
    try {
      const all = Array.from({ length: options.ranks }, (_, rank) => rank);
      await Promise.all(all.map((rank) => world.#startReceiver(rank)));
      await Promise.all(all.map((rank) => world.#startRank(rank)));
      await world.#onAll((rank) => rank.call('gather', null));
      return world;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  async update(args: { readonly releaseCommunicators?: boolean }): Promise<void> {
    await this.#onAll((rank) => rank.call('update', args));
  }

  /** Starts an update in which `victim` dies, and gives how the others ended. */
  async kill(victim: number): Promise<Report[]> {
    let diedAtMs = Number.NaN;
    const died = this.#ranks[victim]!.exited.then(() => {
      diedAtMs = performance.now();
    });
    const updates = this.#ranks.map((rank, index) =>
      rank.call('update', index === victim ? { dieAtBroadcast: 3 } : {}).then(
        () => ({ error: undefined, atMs: performance.now() }),
        (error: unknown) => ({ error, atMs: performance.now() }),
      ),
    );
    await died;
    const ends = await Promise.all(updates);
    return ends.flatMap(({ error, atMs }, rank) => {
      if (rank === victim) return [];
      const isLoss = CheckpointEngineError.isInstance(error) && error.code === 'CE_RANK_LOST';
      return [{ rank, ms: atMs - diedAtMs, error: String(error), namesIt: isLoss && error.peer === victim }];
    });
  }

  /** Starts a rank that died again, with a new receiver: a Python worker waits for the dead one for ever. */
  async restart(rank: number): Promise<void> {
    await this.#receivers[rank]!.stop();
    await this.#startReceiver(rank);
    await this.#startRank(rank);
    await this.#onAll((one) => one.call('gather', null));
  }

  /** Looks at device memory now; without the rank that died. */
  look(step: string, dead?: number): Promise<MemoryLook> {
    return this.memory.look(step, {
      ranks: this.#ranks.filter((_, rank) => rank !== dead),
      receivers: this.#receivers,
    });
  }

  /**
   * Looks at device memory once it no longer changes, which is given back off the threads that used it.
   *
   * @param wanted Waits for no more than this was, too, up to a limit.
   */
  async settled(step: string, wanted?: MemoryLook): Promise<MemoryLook> {
    const startedAtMs = performance.now();
    let last: readonly number[] = [];
    for (;;) {
      await sleep(SETTLE_MS);
      const used = await this.#onAll((rank) => rank.call('usedBytes', null));
      const isStill = used.every((bytes, rank) => Math.abs(bytes - (last[rank] ?? 0)) < 2 ** 20);
      const isAsWanted = used.every((bytes, rank) => bytes - (wanted?.usedBytes[rank] ?? Infinity) < SLACK_BYTES);
      last = used;
      const ms = performance.now() - startedAtMs;
      if ((isStill && isAsWanted) || ms > MOST_SETTLE_MS) return await this.look(`${step} (${ms.toFixed(0)} ms later)`);
    }
  }

  /** Tensors that differ from the files, in all receivers together. */
  async wrong(): Promise<number> {
    const counts = await Promise.all(this.#receivers.map((receiver) => receiver.wrong()));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Tells whether all ranks ended by themselves. Idempotent. */
  async end(): Promise<boolean> {
    const ends = await Promise.all(this.#ranks.map((rank) => rank.end()));
    await Promise.all(this.#receivers.map((receiver) => receiver.stop()));
    return ends.every(Boolean);
  }

  async #startReceiver(rank: number): Promise<void> {
    const { device, receiver, python, dir } = this.#options;
    const index = device === 'host' ? rank : rank % this.#gpus;
    this.#receivers[rank] =
      device === 'host' || receiver === 'ours'
        ? await ourReceiver(device, index, this.#files)
        : await pythonReceiver(python, index, dir);
  }

  async #startRank(rank: number): Promise<void> {
    const { ranks, device, bucketBytes } = this.#options;
    const task: KillRankTask = {
      rank,
      worldSize: ranks,
      port: this.#port,
      device: device === 'host' ? 'host' : rank % this.#gpus,
      engine: this.#receivers[rank]!.engine,
      files: this.#files,
      bucketBytes,
    };
    const env = device === 'cuda' && ranks > this.#gpus ? sharedGpu(rank) : {};
    this.#ranks[rank] = await DrivenProcess.start('../kill/kill-rank-main', task, env);
    await this.#ranks[rank].call('register', null);
  }

  #onAll<T>(work: (rank: KillRank) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#ranks.map(work));
  }
}
